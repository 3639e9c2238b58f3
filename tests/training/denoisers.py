"""Denoisers of a second, to be exported."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import optax

from genjax.config import spec
from genjax.data import Chain, Scale
from genjax.data.sources import InMemorySource
from genjax.models import DiffusionModel
from genjax.models.diffusion import DiffusionSampling
from genjax.networks import DiT, TimeMLP, UNet
from genjax.training import Experiment
from tests.training import tiny

NETWORK = spec(TimeMLP, shape=tiny.SHAPE, features=8, num_layers=1)
UNET = spec(UNet, shape=tiny.SHAPE, features=(4, 8), num_blocks=1, head_features=4, groups=2)
DIT = spec(DiT, shape=tiny.SHAPE, patch=4, features=8, num_layers=1, num_heads=2, freq_shift=1.0)

CLASSES = {'num_classes': 4}
BLOTS = spec(tiny.Blots)


@dataclass(frozen=True)
class Places(tiny.Blots):
    """Blots whose context is their mean and largest value."""

    num_classes: ClassVar[int | None] = None
    context_shape: ClassVar[tuple[int, ...]] = (2,)

    def source(self, split):
        x = super().source(split)._arrays['x']
        flat = x.reshape(len(x), -1) / 255
        context = np.stack([flat.mean(1), flat.max(1)], axis=1).astype(np.float32)
        return InMemorySource({'x': x, 'context': context})


def diffusion(network=NETWORK, condition=CLASSES, dataset=BLOTS, **fields):
    """With classes; all options that make a likelihood or a sample cheap."""
    return spec(
        Experiment,
        dataset=dataset,
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0),)),
        model=spec(
            DiffusionModel,
            network=network,
            **condition,
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
