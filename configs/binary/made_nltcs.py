"""MADE on the survey of disabilities NLTCS, 16 bits.

    genjax train --config=configs/binary/made_nltcs.py --workdir=runs/made_nltcs

The files are looked for as nltcs.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. Its 65,536 states can be enumerated.
Expected: 6.00 nats on the test split, exact, after ten seconds.
"""

import optax

from genjax.config import spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import Experiment

STEPS = 4000


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Binary, path='nltcs.{split}.data.gz'),
        model=spec(
            MADE,
            network=spec(
                MaskedAutoencoder,
                shape=(16,),
                features=(500,),
                num_masks=8,
                dropout=0.0,
            ),
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=2e-3, decay_steps=STEPS),
            weight_decay=0.01,
        ),
        steps=STEPS,
        batch_size=100,
        ema=(0.99,),
        evals={
            'nll': spec(Likelihood, split='validation', every=200, batch_size=500),
            'test_nll': spec(Likelihood, batch_size=500),
        },
        best='nll',
        keep=1,
        checkpoint_every=0,
    )
