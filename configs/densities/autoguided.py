"""Flow matching on a 2-D density, guided by a worse model of the same data.

    genjax train --config=configs/densities/autoguided.py --workdir=runs/autoguided
    genjax train --config=configs/densities/autoguided.py:1 --workdir=runs/unguided

The argument is the weight; 1 is no guidance. Expected: .0015 of the samples are outliers, without
guidance .0040 (seed 0, each ± .0005), after two minutes on one core.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Density
from genjax.evaluation import MMD, Outliers
from genjax.models import DiffusionModel
from genjax.models.diffusion import Autoguidance, DiffusionSampling
from genjax.networks import TimeMLP
from genjax.training import Experiment


def get_config(weight: float = 2.0):
    steps = FieldReference(10_000)
    return spec(
        Experiment,
        dataset=Density('rings'),
        model=DiffusionModel(
            TimeMLP((2,), features=64, num_layers=2),
            sampling=DiffusionSampling(
                guide=Autoguidance(network=TimeMLP((2,), features=16, num_layers=1), weight=weight)
            ),
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=512,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=1000,
        evals={'outliers': Outliers(), 'mmd': MMD()},
        checkpoint_every=0,
        num_samples=4000,
    )
