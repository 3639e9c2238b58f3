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

import optax

from genjax.config import spec
from genjax.data import Density
from genjax.errors import UserError
from genjax.evaluation import KL
from genjax.models import DiffusionModel
from genjax.models.diffusion import (
    EDM,
    ELBO,
    CosineVP,
    DiffusionSampling,
    Karras,
    KarrasSchedule,
    LogNormal,
    Rectified,
    UniformLogSNR,
    V,
)
from genjax.networks import TimeMLP
from genjax.training import Experiment

STEPS = 20_000

RECIPES = {
    'flow': dict(path=spec(Rectified)),
    'optimal': dict(path=spec(Rectified), coupling='optimal'),
    'edm': dict(
        path=spec(Karras),
        parameterisation=spec(EDM, data_scale=2.0),
        times=spec(LogNormal, mean=-1.0, std=1.6),
        sampling=spec(DiffusionSampling, grid=spec(KarrasSchedule)),
    ),
    'vdm': dict(
        path=spec(CosineVP),
        parameterisation=spec(V),
        weighting=spec(ELBO),
        times=spec(UniformLogSNR),
        sampling=spec(DiffusionSampling, grid=spec(KarrasSchedule)),
    ),
}


def get_config(recipe: str = 'flow'):
    """The run as a config."""
    if recipe not in RECIPES:
        raise UserError(f'the recipe is one of {", ".join(RECIPES)}, not {recipe!r}')
    return spec(
        Experiment,
        dataset=spec(Density, name='eight_gaussians'),
        model=spec(
            DiffusionModel,
            network=spec(
                TimeMLP,
                shape=(2,),
                features=128,
                num_layers=3,
                frequencies=(1.0, 2.0, 4.0),
            ),
            **RECIPES[recipe],
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=2e-3, decay_steps=STEPS),
        ),
        steps=STEPS,
        steps_per_call=10,
        batch_size=512,
        # An optimal assignment takes cubic time: four of 128 examples, not one of all.
        accumulate=4 if recipe == 'optimal' else 1,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=1000,
        evals={
            'test_kl': spec(KL),
        },
        checkpoint_every=0,
        num_samples=4000,
    )
