"""The smallest box around 10,000 points on the land of a stylised map.

    genjax train --config=configs/world/box.py --workdir=runs/world_box

Expected: 1.93 nats, the logarithm of the area of the box; every point of the land is inside (recall
1), and a third of the box is land (precision .32).
"""

import optax

from genjax.config import spec
from genjax.data import WorldPoints
from genjax.evaluation import Likelihood, Support
from genjax.models import UniformBox
from genjax.training import Experiment


def get_config():
    return spec(
        Experiment,
        dataset=WorldPoints(),
        model=UniformBox(shape=(2,)),
        optimizer=spec(optax.identity),  # widening a box needs none
        steps=10,
        batch_size=1000,
        num_samples=1000,
        evals={'test_nll': Likelihood(), 'support': Support()},
    )
