"""Denoisers of a second, to be exported."""

import optax

from genjax.config import spec
from genjax.data import Chain, Scale
from genjax.models import DiffusionModel
from genjax.models.diffusion import DiffusionSampling
from genjax.networks import DiT, TimeMLP, UNet
from genjax.training import Experiment
from tests.training import tiny

NETWORK = spec(TimeMLP, shape=tiny.SHAPE, features=8, num_layers=1)
UNET = spec(UNet, shape=tiny.SHAPE, features=(4, 8), num_blocks=1, head_features=4, groups=2)
DIT = spec(DiT, shape=tiny.SHAPE, patch=4, features=8, num_layers=1, num_heads=2, freq_shift=1.0)


def diffusion(network=NETWORK, **fields):
    """With classes; all options that make a likelihood or a sample cheap."""
    return spec(
        Experiment,
        dataset=spec(tiny.Blots),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0),)),
        model=spec(
            DiffusionModel,
            network=network,
            num_classes=4,
            sampling=spec(DiffusionSampling, steps=2),
            likelihood='hutchinson',
        ),
        **{
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            'steps': 1,
            'batch_size': 8,
            'ema': (0.5,),
            'num_samples': 4,
            **fields,
        },
    )
