"""A data set, models and schedules for runs of a second, nameable in configs."""

import hashlib
import json
import os
from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from genjax.config import spec
from genjax.data import Binarise, Chain, Scale
from genjax.data.sources import InMemorySource
from genjax.evaluation import Evaluator
from genjax.models import GAN, VAE
from genjax.networks import MLP
from genjax.training import DecayWeights, Experiment, MuonWeights

SHAPE = (8, 8, 1)
_COMMON = {
    'steps': 12,
    'batch_size': 16,
    'accumulate': 2,
    'ema': (0.9, 0.99),
    'log_every': 1,
    'num_samples': 4,
}


@dataclass(frozen=True)
class Blots:
    """A blurred blot in each picture, at a place that its label tells.

    Attributes:
        size: examples in each split.
        variant: another number, other data.
    """

    size: int = 40
    variant: int = 0

    event_shape: ClassVar[tuple[int, ...]] = SHAPE
    num_classes: ClassVar[int] = 4

    def source(self, split):
        generator = np.random.default_rng([self.variant, *split.encode()])
        label = generator.integers(0, 4, self.size).astype(np.int32)
        centre = np.stack([label // 2, label % 2], -1) * 4 + 1.5
        place = np.stack(np.meshgrid(range(8), range(8), indexing='ij'), -1)
        distance = ((place - centre[:, None, None]) ** 2).sum(-1)
        x = 250 * np.exp(-distance / 4) * generator.uniform(0.5, 1, (self.size, 1, 1))
        return InMemorySource({'x': x[..., None].astype(np.uint8), 'label': label})


@dataclass(frozen=True)
class Placed(Blots):
    """Blots with the place of each as context, of unit size."""

    context_shape: ClassVar[tuple[int, ...]] = (2,)

    def source(self, split):
        arrays = dict(super().source(split)._arrays)
        label = arrays['label']
        context = np.stack([label // 2, label % 2], -1) * 2.0 - 1.0
        return InMemorySource({**arrays, 'context': context.astype(np.float32)})


@dataclass(frozen=True)
class Watched(Blots):
    """Blots that note, in a file of each process in the folder $WATCHED, which examples it reads
    and what is in them.
    """

    def source(self, split):
        source = super().source(split)
        return _WatchedSource(source._arrays) if split == 'train' else source


class _WatchedSource(InMemorySource):
    def __getitem__(self, indices):
        rows = super().__getitem__(indices)
        digests = [digest(x) for x in rows['x']]
        with open(f'{os.environ["WATCHED"]}/{os.getpid()}', 'a') as file:
            file.write(json.dumps([indices.tolist(), digests]) + '\n')
        return rows


def digest(x):
    return hashlib.sha256(x.tobytes()).hexdigest()


class Critic(nn.Module):
    """A discriminator with dropout, and with state: spectral norms."""

    @nn.compact
    def __call__(self, x, train=False):
        x = x.reshape(len(x), -1)
        x = nn.SpectralNorm(nn.Dense(16))(x, update_stats=train)
        x = nn.Dropout(0.3, deterministic=not train)(nn.leaky_relu(x))
        return nn.Dense(1)(x)


def moved(model, variables, data, key):
    """An evaluator that is a function: the size of the weights, which grows."""
    return {'moved': float(jnp.sum(jnp.abs(variables['params']['decoder']['Dense_0']['kernel'])))}


@dataclass(frozen=True)
class Moved(Evaluator):
    """The same as a class."""

    def __call__(self, model, variables, data, key):
        return moved(model, variables, data, key)


def nan_at(step: int = 5, otherwise: float = 1.0):
    """A schedule of one value but for one step."""
    return lambda now: jnp.where(now == step, jnp.nan, otherwise)


def vae_model(**fields) -> ConfigDict:
    return spec(
        VAE,
        **{
            'encoder': spec(MLP, features=(16,), dropout=0.3),
            'decoder': spec(MLP, features=(16,), shape=SHAPE, dropout=0.3),
            'latent_dim': 3,
            'eval_samples': 4,
            **fields,
        },
    )


def vae(**fields) -> ConfigDict:
    """Dropout, accumulation over two micro-batches, two averages."""
    return spec(
        Experiment,
        **{
            'dataset': spec(Blots),
            'preprocess': spec(Chain, steps=(spec(Binarise),)),
            'model': vae_model(),
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            **_COMMON,
            **fields,
        },
    )


def gan(**fields) -> ConfigDict:
    """The same, with model state, two critic steps and an optimizer for each player."""
    return spec(
        Experiment,
        **{
            'dataset': spec(Blots),
            'preprocess': spec(Chain, steps=(spec(Scale, low=-1.0),)),
            'model': spec(
                GAN,
                generator=spec(MLP, features=(16,), shape=SHAPE, dropout=0.3),
                discriminator=spec(Critic),
                latent_dim=3,
                loss='hinge',
                num_critic=2,
            ),
            'optimizer': {
                'discriminator': spec(optax.adam, learning_rate=1e-2, b1=0.5),
                'generator': spec(optax.sgd, learning_rate=1e-2, momentum=0.5),
            },
            **_COMMON,
            **fields,
        },
    )


def optimized(**fields) -> ConfigDict:
    """A GAN whose players have Muon and a Schedule-Free optimizer."""
    return gan(
        **{
            'optimizer': {
                'discriminator': spec(
                    optax.contrib.muon,
                    learning_rate=1e-2,
                    weight_decay=0.1,
                    weight_decay_mask=spec(DecayWeights),
                    muon_weight_dimension_numbers=spec(MuonWeights),
                ),
                'generator': spec(
                    optax.contrib.schedule_free,
                    base_optimizer=spec(optax.sgd, learning_rate=1e-2),
                    learning_rate=1e-2,
                ),
            },
            'ema': (),
            'norms': 1,
            **fields,
        }
    )
