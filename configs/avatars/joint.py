"""Table of all 4,032 combinations of the avatars' features, with Laplace's rule, from 50 people.

    genjax train --config=configs/avatars/joint.py --workdir=runs/avatars_joint

Expected: 8.21 nats a row on the test split, exact; log 4032 is 8.30, what a uniform table gives.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars
from genjax.data.avatars import NUM_VALUES
from genjax.evaluation import Likelihood
from genjax.models import JointTable
from genjax.training import Experiment


def get_config():
    return spec(
        Experiment,
        dataset=Avatars(form='table'),
        model=JointTable(num_values=NUM_VALUES, smoothing=1.0),
        optimizer=spec(optax.identity),  # counting needs none
        steps=1,
        batch_size=50,  # one epoch: everybody is counted once
        evals={'test_nll': Likelihood()},
    )
