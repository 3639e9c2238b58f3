"""GPT on tiny-shakespeare, one token a character, for a GPU.

    genjax train --config=configs/shakespeare/gpt.py --workdir=runs/shakespeare
    genjax sample --workdir=runs/shakespeare --out=drama.txt

The text is looked for at input.txt; --config.dataset.path=FILE names another place. Published
(karpathy/nanoGPT, same size and steps): 1.4697 nats a character on the last tenth of the text.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Text
from genjax.evaluation import TokenLikelihood
from genjax.models import GPT
from genjax.networks import Transformer
from genjax.training import DecayWeights, Experiment

CONTEXT = 256
VOCAB = 65


def get_config():
    # Like nanoGPT, evaluates a character by what precedes it in its window, the first one excepted.
    steps = FieldReference(5000)
    options = {'batch_size': 64, 'given': 1, 'unit': 'char'}
    return spec(
        Experiment,
        dataset=Text(
            'input.txt', context=CONTEXT, validation=111_540, test=0, overlap=1, vocab_size=VOCAB
        ),
        model=GPT(
            Transformer(
                (CONTEXT,),
                vocab_size=VOCAB,
                features=384,
                num_layers=6,
                num_heads=6,
                dropout=0.2,
                dtype='bfloat16',
            )
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.warmup_cosine_decay_schedule, 0.0, 1e-3, steps // 50, steps, end_value=1e-4),
            b2=0.99,
            weight_decay=0.1,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=64,
        clip_norm=float(CONTEXT),  # the loss is summed over the tokens
        evals={
            'nll': TokenLikelihood(split='validation', every=250, **options),
            'test_nll': TokenLikelihood(**options),
        },
        best='nll',
    )
