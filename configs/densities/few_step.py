"""Models of one step on a 2-D density: MeanFlow, shortcut and consistency models.

    genjax train --config=configs/densities/few_step.py:mean_flow --workdir=runs/mean_flow
    python -m experiments.few_step.run runs/mean_flow

The argument is mean_flow, shortcut, consistency, scm or scm_distilled; `--config.dataset.name` is
eight_gaussians, checkerboard or rings. Expected of mean_flow on 8 Gaussians: MMDs of .0072, .0050
and .0070 with one step and of .0047, .0040 and .0057 with 128 (seeds 0, 1, 2; equal distributions:
0 to .004), after six minutes on one core. Of shortcut they are .0042, .0040 and .0043 with one step
and .0042, .0033 and .0040 with 128; of consistency .032 with one step and .007 with 128.

scm is sCM from data, scm_distilled from a run of `diffusion.py:edm` in runs/teacher. One step is at
.029 and .024 after 4,000 of the steps (`--config.steps=4000`, seed 0), two minutes on one core;
.019 and .092 of the samples are outliers.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Density
from genjax.evaluation import MMD, Outliers
from genjax.models import (
    ConsistencyModel,
    ContinuousConsistency,
    DiffusionModel,
    MeanFlow,
    Shortcut,
    diffusion,
)
from genjax.networks import TimeMLP
from genjax.schedules import Scheduled, staircase
from genjax.training import Experiment, Start

Kind = Literal['mean_flow', 'shortcut', 'consistency', 'scm', 'scm_distilled']

# The model of diffusion.py:edm
TEACHER = DiffusionModel(
    TimeMLP((2,), features=128, num_layers=3, frequencies=(1.0, 2.0, 4.0)),
    path=diffusion.Karras(),
    parameterisation=diffusion.EDM(data_scale=2.0),
)


def get_config(kind: Kind = 'mean_flow'):
    steps = FieldReference(20_000)
    network = TimeMLP((2,), features=128, num_layers=4, frequencies=(1.0, 2.0))
    distilled = kind == 'scm_distilled'
    scm = ContinuousConsistency(
        network=network,
        teacher=TEACHER if distilled else None,
        data_scale=2.0,
        mean=0.4,
        progress=Scheduled(spec(optax.linear_schedule, 0.0, 1.0, steps // 2)),
    )
    models = {
        # In two dimensions errors do not concentrate: weighted by their inverse, means are biased.
        'mean_flow': MeanFlow(
            network=network, times=diffusion.Uniform(), instant=0.5, power=0.0, tangent='predicted'
        ),
        'shortcut': Shortcut(network=network),
        'consistency': ConsistencyModel(
            network=network,
            data_scale=2.0,
            sigma_min=0.01,
            mean=0.0,
            num_scales=Scheduled(
                spec(staircase, (10.0, 20.0, 40.0, 80.0, 160.0, 320.0), (steps // 6,) * 6)
            ),
        ),
        'scm': scm,
        'scm_distilled': scm,
    }
    return spec(
        Experiment,
        dataset=Density('eight_gaussians'),
        model=models[kind],
        start=(Start('runs/teacher', groups={'teacher': 'network'}),) if distilled else (),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=512,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=1000,
        evals={'mmd': MMD(), 'outliers': Outliers()},
        checkpoint_every=0,
        num_samples=4000,
    )
