"""MADE on the survey of disabilities NLTCS, 16 bits.

    genjax train --config=configs/binary/made_nltcs.py --workdir=runs/made_nltcs

The files are looked for as nltcs.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. Its 65,536 states can be enumerated.
Expected: 6.00 nats on the test split, exact, after ten seconds.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import DecayWeights, Experiment


def get_config():
    steps = FieldReference(4000)
    return spec(
        Experiment,
        dataset=Binary('nltcs.{split}.data.gz'),
        model=MADE(MaskedAutoencoder((16,), features=(500,), num_masks=8, dropout=0.0)),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 2e-3, steps),
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=100,
        ema=(0.99,),
        evals={
            'nll': Likelihood(split='validation', every=200, batch_size=500),
            'test_nll': Likelihood(batch_size=500),
        },
        best='nll',
        keep=1,
        checkpoint_every=0,
    )
