"""GPT on tiny-shakespeare, one token a character, small enough for ten minutes on two cores.

    genjax train --config=configs/shakespeare/gpt_cpu.py --workdir=runs/shakespeare_cpu
    genjax sample --workdir=runs/shakespeare_cpu --out=drama.txt

The text is looked for at input.txt; --config.dataset.path=FILE names another place. Expected: 1.51
nats a character on the last tenth of the text, after ten minutes. Published (karpathy/nanoGPT, this
size, 2,000 steps of 12 rows): 1.88. A model that counts 5-grams reaches 1.753.
"""

import optax

from genjax.config import spec
from genjax.data import Text
from genjax.evaluation import TokenLikelihood
from genjax.models import GPT
from genjax.networks import Transformer
from genjax.training import Experiment

STEPS = 8000
CONTEXT = 64
VOCAB = 65


def get_config():
    """The run as a config."""
    # Like nanoGPT, evaluates a character by what precedes it in its window, the first one excepted.
    options = {'batch_size': 200, 'given': 1, 'unit': 'char'}
    return spec(
        Experiment,
        dataset=spec(
            Text,
            path='input.txt',
            context=CONTEXT,
            validation=111_540,
            test=0,
            overlap=1,
            vocab_size=VOCAB,
        ),
        model=spec(
            GPT,
            network=spec(
                Transformer,
                shape=(CONTEXT,),
                vocab_size=VOCAB,
                features=128,
                num_layers=4,
                num_heads=4,
                positions='rotary',
            ),
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(
                optax.warmup_cosine_decay_schedule,
                init_value=0.0,
                peak_value=4e-3,
                warmup_steps=200,
                decay_steps=STEPS,
            ),
            b2=0.99,
            weight_decay=0.1,
        ),
        steps=STEPS,
        batch_size=16,
        clip_norm=float(CONTEXT),  # the loss is summed over the tokens
        ema=(0.999,),
        evals={
            'nll': spec(TokenLikelihood, split='validation', every=2000, **options),
            'test_nll': spec(TokenLikelihood, **options),
        },
        best='nll',
    )
