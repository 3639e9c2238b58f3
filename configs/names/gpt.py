"""GPT on names, one a line, as makemore.

    genjax train --config=configs/names/gpt.py --workdir=runs/names --config.dataset.path=names.txt
    genjax sample --workdir=runs/names --out=names_drawn.txt

Expected: 1.915 nats a character on 1,000 test names, the end of a name included, after a quarter of
an hour on two cores, measured when embeddings and biases decayed too. Published
(karpathy/makemore): 1.92.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Text
from genjax.evaluation import TokenLikelihood
from genjax.models import GPT
from genjax.networks import Transformer
from genjax.training import DecayWeights, Experiment

LENGTH = 16
VOCAB = 27


def get_config():
    steps = FieldReference(24_000)
    return spec(
        Experiment,
        dataset=Text(
            'names.txt', context=LENGTH, by='line', validation=1000, test=1000, vocab_size=VOCAB
        ),
        model=GPT(
            Transformer(
                (LENGTH,), vocab_size=VOCAB, features=64, num_layers=4, num_heads=4, dropout=0.1
            ),
            end=0,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.warmup_cosine_decay_schedule, 0.0, 5e-3, steps // 120, steps),
            b2=0.99,
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=64,
        clip_norm=float(LENGTH),
        ema=(0.999,),
        evals={
            'nll': TokenLikelihood(split='validation', every=1000, batch_size=200, unit='char'),
            'test_nll': TokenLikelihood(batch_size=200, unit='char'),
        },
        best='nll',
    )
