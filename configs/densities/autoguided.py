"""Flow matching on a 2-D density, guided by a worse model of the same data.

    genjax train --config=configs/densities/autoguided.py --workdir=runs/autoguided
    genjax train --config=configs/densities/autoguided.py:1 --workdir=runs/unguided

The argument is the weight; 1 is no guidance. Expected: .0015 of the samples are outliers, without
guidance .0040 (seed 0, each ± .0005), after two minutes on one core.
"""

import optax

from genjax.config import spec
from genjax.data import Density
from genjax.evaluation import MMD, Outliers
from genjax.models import DiffusionModel
from genjax.models.diffusion import Autoguidance, DiffusionSampling
from genjax.networks import TimeMLP
from genjax.training import Experiment

STEPS = 10_000


def get_config(weight: str = '2'):
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Density, name='rings'),
        model=spec(
            DiffusionModel,
            network=spec(TimeMLP, shape=(2,), features=64, num_layers=2),
            sampling=spec(
                DiffusionSampling,
                guide=spec(
                    Autoguidance,
                    network=spec(TimeMLP, shape=(2,), features=16, num_layers=1),
                    weight=float(weight),
                ),
            ),
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=2e-3, decay_steps=STEPS),
        ),
        steps=STEPS,
        steps_per_call=10,
        batch_size=512,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=1000,
        evals={
            'outliers': spec(Outliers),
            'mmd': spec(MMD),
        },
        checkpoint_every=0,
        num_samples=4000,
    )
