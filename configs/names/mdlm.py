"""Masked diffusion of names, one a line, as makemore.

    genjax train --config=configs/names/mdlm.py --workdir=runs/names_mdlm \
        --config.dataset.path=names.txt
    genjax sample --workdir=runs/names_mdlm --out=names_drawn.txt

Expected: 16.0 nats a name on 1,000 test names, an upper bound, after four minutes of processor
time, measured when embeddings and biases decayed too. The GPT of `gpt.py`, trained for longer, has
1.915 a character, about 13.6 a name, exact.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Text
from genjax.evaluation import Likelihood
from genjax.models import MDLM
from genjax.networks import Transformer
from genjax.training import DecayWeights, Experiment

LENGTH = 16
VOCAB = 27


def get_config():
    steps = FieldReference(6000)
    return spec(
        Experiment,
        dataset=Text(
            'names.txt', context=LENGTH, by='line', validation=1000, test=1000, vocab_size=VOCAB
        ),
        model=MDLM(
            Transformer(
                (LENGTH,), vocab_size=VOCAB, features=64, num_layers=4, num_heads=4, causal=False
            ),
            eval_samples=64,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.warmup_cosine_decay_schedule, 0.0, 5e-3, steps // 30, steps),
            b2=0.99,
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=64,
        clip_norm=float(LENGTH),
        ema=(0.999,),
        evals={
            'nll': Likelihood(split='validation', every=2000, batch_size=200),
            'test_nll': Likelihood(batch_size=200),
        },
        best='nll',
    )
