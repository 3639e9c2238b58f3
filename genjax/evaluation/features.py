"""Feature spaces in which samples are compared with data: named maps to vectors.

The name of a space identifies the map, with its weights. It is part of the protocol of a result.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.chunks import flat

Features = Callable[[np.ndarray], np.ndarray]
"""Maps data as stored, [N, *event], to features [N, D]."""


class FeatureSpace(abc.ABC):
    """A map to features; subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def of(self, dataset: Any) -> tuple[Features, str]:
        """Returns the map for a data set, and its name, which differs between different maps.

        Raises:
            UserError: the data do not fit it.
        """


@dataclass(frozen=True)
class Raw(FeatureSpace):
    """The data themselves, flat; pixels (uint8) in 0..1."""

    def of(self, dataset: Any) -> tuple[Features, str]:
        if dataset.source('train')[np.arange(1)]['x'].dtype == np.uint8:
            return (lambda x: flat(x) / 255), 'pixels'
        return flat, 'data'


@dataclass(frozen=True)
class PCA(FeatureSpace):
    """Principal components of `Raw` in the training split, or in 10,000 examples of it.

    Attributes:
        num: number of components.
    """

    num: int = 64

    def __post_init__(self):
        if self.num < 1:
            raise UserError(f'PCA.num must be at least 1, not {self.num}')

    def of(self, dataset: Any) -> tuple[Features, str]:
        source = dataset.source('train')
        raw, _ = Raw().of(dataset)
        rows = raw(source[random_subset(len(source), 10_000)]['x']).astype(np.float64)
        if self.num > min(rows.shape):
            raise UserError(f'PCA: {len(rows)} examples of {rows.shape[1]} numbers have less than'
                            f' {self.num} components')  # fmt: skip
        mean = rows.mean(axis=0)
        axes = np.linalg.svd(np.linalg.qr(rows - mean, mode='r'))[2][: self.num]

        def project(x: np.ndarray) -> np.ndarray:
            return (raw(x) - mean) @ axes.T

        return project, f'{self.num} principal components of {source.fingerprint[:12]}'


@dataclass(frozen=True)
class RandomConvolutions(FeatureSpace):
    """A random convolutional network, for images for which no classifier is at hand.

    Layers of 3x3 convolutions with stride 2 and rectifiers, with He's initialisation; features are
    the mean and the standard deviation of each channel of each layer.

    Attributes:
        channels: channels of the layers.
        seed: of the weights.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    seed: int = 0

    def of(self, dataset: Any) -> tuple[Features, str]:
        shape = tuple(dataset.event_shape)
        if len(shape) not in (2, 3):
            raise UserError(f'RandomConvolutions needs images, and the data have shape {shape}')
        # NumPy guarantees RandomState's streams.
        random, inputs, kernels = np.random.RandomState(self.seed), (*shape, 1)[2], []
        for channels in self.channels:
            kernel = random.standard_normal((3, 3, inputs, channels)) * np.sqrt(2 / (9 * inputs))
            kernels.append(kernel.astype(np.float32))
            inputs = channels

        def features(x: np.ndarray) -> np.ndarray:
            x = np.asarray(x, np.float32).reshape(len(x), *shape[:2], -1) / 255
            parts = [x[start : start + 500] for start in range(0, len(x), 500)]
            with jax.transfer_guard('allow'):
                return np.concatenate([jax.device_get(_convolved(kernels, part)) for part in parts])

        return features, f'random convolutions {self.channels} of seed {self.seed}'


@jax.jit
def _convolved(kernels: list[Array], x: Array) -> Array:
    features = []
    for kernel in kernels:
        x = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            precision='highest',
        )  # fmt: skip
        x = jax.nn.relu(x)
        features += [jnp.mean(x, axis=(1, 2)), jnp.std(x, axis=(1, 2))]
    return jnp.concatenate(features, axis=-1)


@dataclass(frozen=True)
class FunctionFeatures(FeatureSpace):
    """A function of one's own, `@module.function`.

    Attributes:
        function: maps data as stored, [N, *event], to features [N, D].
        version: part of the name: change it with the function, or its weights.
    """

    function: Callable[[np.ndarray], np.ndarray]
    version: str = ''

    def of(self, dataset: Any) -> tuple[Features, str]:
        name = f'{self.function.__module__}.{self.function.__qualname__}'
        return self.function, ' '.join(filter(None, (name, self.version)))


def checked(features: Features, x: np.ndarray, name: str) -> np.ndarray:
    """Returns the features float64 [N, D] of data [N, *event].

    Raises:
        UserError: they are not one finite vector for each example.
    """
    found = np.asarray(features(x), np.float64)
    if found.ndim != 2 or len(found) != len(x):
        raise UserError(f'features ({name}) of {len(x)} examples have shape {found.shape}')
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise UserError(f'features ({name}) of example {row} are not finite')
    return found
