"""Shardings and sizes of the arrays of a state."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np


class Layout(NamedTuple):
    """Sharding of one array.

    Attributes:
        name: path, 'decoder/Dense_0/kernel'.
        shape: global shape.
        dtype: NumPy name of the dtype.
        axes: for each dimension, the mesh axis that shards it, or None.
        bytes_per_device: bytes on each device.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str | None, ...]
    bytes_per_device: int

    def __str__(self) -> str:
        split = ', '.join(axis or '-' for axis in self.axes)
        return (
            f'{self.name}  {self.dtype}{list(self.shape)}  ({split})  {self.bytes_per_device:,} B'
        )


def layouts(tree: Any) -> Iterator[Layout]:
    """Layouts of all arrays in a tree of arrays or `jax.ShapeDtypeStruct`s with shardings."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = '/'.join(jax.tree_util.keystr((key,), simple=True) for key in path)
        spec = tuple(leaf.sharding.spec)
        axes = spec + (None,) * (leaf.ndim - len(spec))
        yield Layout(name, leaf.shape, str(leaf.dtype), axes, bytes_per_device(leaf))


def bytes_per_device(tree: Any) -> int:
    """Bytes on each device of a tree of arrays or `jax.ShapeDtypeStruct`s with shardings."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * _itemsize(leaf.dtype)
        for leaf in jax.tree.leaves(tree)
    )


def _itemsize(dtype: Any) -> int:
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        return jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), dtype)).size * 4
    return np.dtype(dtype).itemsize
