"""Feature spaces of networks that others have trained, with the weights in a file of the user."""

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import flax.linen as nn
import jax
import numpy as np
from jax import Array
from PIL import Image

from genjax import files, tensors
from genjax.data.pipeline import random_subset
from genjax.errors import UserError
from genjax.evaluation.chunks import filled, local_shardings
from genjax.evaluation.features import Features, FeatureSpace
from genjax.files import local
from genjax.networks.convert import pretrained

_PROBED = 100  # examples of which the range is read


@dataclass(frozen=True)
class Pretrained(FeatureSpace):
    """Base class of feature spaces of images by a network whose weights are in a file.

    Images are [H, W] or [H, W, C] of 0..255, grey or RGB; grey ones are repeated to three channels.
    Samples, which are floats, are rounded and clipped to uint8 first, as they would be in a file.
    The name has the first digits of the SHA-256 of the weights' file.

    Attributes:
        weights: a .safetensors or .npz file with the arrays of the checkpoint in PyTorch, by name.
        batch_size: images at a time, rounded up to a multiple of the number of devices.
    """

    weights: str
    batch_size: int = 64

    PATHS: ClassVar[tuple[str, ...]] = ('weights',)

    def __post_init__(self):
        if self.batch_size < 1:
            name = type(self).__name__
            raise UserError(f'{name}.batch_size must be at least 1, not {self.batch_size}')

    @staticmethod
    @abc.abstractmethod
    def network(arrays: dict[str, np.ndarray]) -> tuple[nn.Module, Any]:
        """Returns the network and its variables, from the arrays of the file."""

    @abc.abstractmethod
    def describe(self, network: Any) -> str:
        """Returns the name of the network's features."""

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """Returns images uint8 [B, H, W, C] as the network takes them, on the host."""
        return x

    def of(self, dataset: Any) -> tuple[Features, str]:
        name = type(self).__name__
        _check_images(name, dataset)
        path = Path(local(self.weights))
        network, variables, digest = _loaded(self.network, path, *_stamp(path))

        def features(x: np.ndarray) -> np.ndarray:
            return _features(network, variables, self.prepare, _pixels(x), self.batch_size)

        return features, f'{self.describe(network)}, weights {digest[:12]}'


@dataclass(frozen=True)
class Inception(Pretrained):
    """The features of the Fréchet inception distance (Heusel et al., 2017): 2048 means of the layer
    pool3 of Inception-v3, in the graph `inception-2015-12-05`, after its own resize to 299 x 299.
    """

    @staticmethod
    def network(arrays: dict[str, np.ndarray]) -> tuple[nn.Module, Any]:
        return pretrained.inception_v3(arrays)

    def describe(self, network: Any) -> str:
        return 'Inception-v3 pool3'


@dataclass(frozen=True)
class DINOv2(Pretrained):
    """The class token of DINOv2 (Oquab et al., 2024) after the last norm: ViT-S, ViT-B or ViT-L,
    with registers or without, by the arrays in the file.

    Images are resized to 224 x 224 by Pillow, bicubic and in uint8, and scaled with the mean and
    standard deviation of ImageNet, as in dgm-eval (Stein et al., 2023).
    """

    SIDE: ClassVar[int] = 224

    @staticmethod
    def network(arrays: dict[str, np.ndarray]) -> tuple[nn.Module, Any]:
        return pretrained.dinov2(arrays)

    def describe(self, network: Any) -> str:
        size = f'{network.features}x{network.num_layers}/{network.patch}'
        return f'DINOv2 {size}' + (' with registers' if network.registers else '')

    def prepare(self, x: np.ndarray) -> np.ndarray:
        size = (self.SIDE, self.SIDE)

        def resized(channel: np.ndarray) -> np.ndarray:
            return np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC))

        channels = [np.stack([*map(resized, x[..., c])]) for c in range(x.shape[-1])]
        return np.stack(channels, axis=-1)


def _check_images(name: str, dataset: Any) -> None:
    shape = tuple(dataset.event_shape)
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        raise UserError(f'{name} needs images, grey or RGB, and the data have shape {shape}')
    source = dataset.source('train')
    x = source[random_subset(len(source), _PROBED)]['x']
    if x.dtype != np.uint8 and not (x.min() >= 0 and 1 < x.max() <= 255):
        raise UserError(
            f'{name} needs images of 0..255, and the data are {x.dtype} of {x.min():g} to'
            f' {x.max():g}'
        )


def _pixels(x: np.ndarray) -> np.ndarray:
    """Images [N, H, W] or [N, H, W, C] of 0..255 as uint8 [N, H, W, C].

    Raises:
        UserError: an image is not finite.
    """
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype == np.uint8:
        return x
    finite = np.isfinite(x).all(axis=(1, 2, 3))
    if not finite.all():
        raise UserError(f'image {int(np.argmin(finite))} is not finite')
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def _stamp(path: Path) -> tuple[int, int]:
    """Time of the last change and size; zeros without the file."""
    if not path.is_file():
        return 0, 0
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@functools.lru_cache(maxsize=2)
def _loaded(
    network: Callable[[dict[str, np.ndarray]], tuple[nn.Module, Any]], path: Path, *stamp: int
) -> tuple[nn.Module, Any, str]:
    """The network, its variables on the host, and the SHA-256 of their file."""
    arrays = tensors.read(path)
    try:
        return *network(arrays), files.sha256(path)
    except UserError as error:
        raise UserError(f'{path}: {error}') from None


def _features(
    network: nn.Module,
    variables: Any,
    prepare: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """Features [N, D] of images uint8 [N, H, W, C], in batches of one size, sharded over the
    devices of this process.
    """
    by_rows, whole = local_shardings()
    devices = len(by_rows.device_set)
    size, found = -(-batch_size // devices) * devices, []
    with jax.transfer_guard('allow'), jax.default_matmul_precision('highest'):
        variables = jax.device_put(variables, whole)
        for start in range(0, len(x), size):
            part = prepare(x[start : start + size])
            batch = jax.device_put(filled(part, size), by_rows)
            found.append(jax.device_get(_applied(network, variables, batch))[: len(part)])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=0)
def _applied(network: nn.Module, variables: Any, x: Array) -> Array:
    return network.apply(variables, jax.numpy.broadcast_to(x, (*x.shape[:3], 3)))
