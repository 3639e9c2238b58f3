"""Flow matching and diffusion on a 2-D density known in closed form, judged by its ODE likelihood.

    genjax train --config=configs/densities/diffusion.py:flow --workdir=runs/flow \
        --config.dataset.name=rings

`:flow` is flow matching, `:optimal` the same with minibatch optimal transport, `:edm` EDM and
`:vdm` a variational diffusion model; `dataset.name` is eight_gaussians, checkerboard or rings.
Expected: KL(data ‖ model) on 8 Gaussians, the checkerboard and the rings of .005, .037 and .004
nats by `:flow`, .005, .042 and .006 by `:optimal` (the first and last with
`--config.batch_size=128 --config.accumulate=1`), .003, .018 and .004 by `:edm`, .011, .024 and .011
by `:vdm` (seed 0), after two to twelve minutes on one core.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Density
from genjax.evaluation import KL
from genjax.models import DiffusionModel, diffusion
from genjax.networks import TimeMLP
from genjax.training import Experiment

RECIPES = {
    'flow': dict(path=diffusion.Rectified()),
    'optimal': dict(path=diffusion.Rectified(), coupling='optimal'),
    'edm': dict(
        path=diffusion.Karras(),
        parameterisation=diffusion.EDM(data_scale=2.0),
        times=diffusion.LogNormal(mean=-1.0, std=1.6),
        sampling=diffusion.DiffusionSampling(grid=diffusion.KarrasSchedule()),
    ),
    'vdm': dict(
        path=diffusion.CosineVP(),
        parameterisation=diffusion.V(),
        weighting=diffusion.ELBO(),
        times=diffusion.UniformLogSNR(),
        sampling=diffusion.DiffusionSampling(grid=diffusion.KarrasSchedule()),
    ),
}


def get_config(recipe: Literal['flow', 'optimal', 'edm', 'vdm'] = 'flow'):
    steps = FieldReference(20_000)
    return spec(
        Experiment,
        dataset=Density('eight_gaussians'),
        model=DiffusionModel(
            TimeMLP((2,), features=128, num_layers=3, frequencies=(1.0, 2.0, 4.0)),
            **RECIPES[recipe],
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=512,
        # An optimal assignment takes cubic time: four of 128 examples, not one of all.
        accumulate=4 if recipe == 'optimal' else 1,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=1000,
        evals={'test_kl': KL()},
        checkpoint_every=0,
        num_samples=4000,
    )
