"""Maps functions over chunks of rows, in float64 and sharded over the devices of this process.

Float64, because metrics of neighbours compare distances: in float32, results would depend on the
device and on the size of the chunks.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def in_chunks(
    function: Callable[..., tuple[Any, Any]],
    rows: np.ndarray,
    *others: np.ndarray,
    chunk: int | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Yields the results of `function(chunk of rows [C, D], *others)` on the host, chunk by chunk.

    Args:
        function: pure; returns the results of each row, leaves [C, ...], and results of the chunk
            that do not change when a row is repeated: the last chunk is filled up with its last
            row, and the results of these copies are cut off. It is compiled once per function
            object.
        rows: [N, D].
        others: arrays that every chunk needs, copied to all devices.
        chunk: largest number of rows at a time; limits memory to chunk x the rows of `others`. By
            default a matrix of that shape takes 512 MB, and 2 MB on a CPU, where more does not fit
            into its caches; but there are 128 rows, or a product would wait for `others`.
    """
    devices = jax.local_devices()
    by_rows, whole = local_shardings()
    if chunk is None:
        memory = (2 if devices[0].platform == 'cpu' else 512) * 2**20
        chunk = max(128, memory // (8 * max(map(len, others), default=1)))
    chunk = -(-min(chunk, len(rows)) // len(devices)) * len(devices)
    with jax.enable_x64(True), jax.transfer_guard('allow'):
        others = tuple(jax.device_put(np.asarray(x, np.float64), whole) for x in others)
        for start in range(0, len(rows), chunk):
            part = np.asarray(rows[start : start + chunk], np.float64)
            rows_of_chunk = jax.device_put(filled(part, chunk), by_rows)
            each, total = jax.device_get(_compiled(function, rows_of_chunk, *others))
            size = len(part)
            yield jax.tree.map(lambda leaf, size=size: leaf[:size], each), total


def per_row(
    function: Callable[..., tuple[Any, Any]],
    rows: np.ndarray,
    *others: np.ndarray,
    chunk: int | None = None,
) -> Any:
    """Returns the results of each row of `in_chunks`, leaves [N, ...]."""
    parts = [each for each, _ in in_chunks(function, rows, *others, chunk=chunk)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.partial(jax.jit, static_argnums=0)
def _compiled(function: Callable[..., Any], *args: Array) -> Any:
    return function(*args)


def local_shardings() -> tuple[NamedSharding, NamedSharding]:
    """Returns the shardings by rows, and of an array that is on all devices of this process."""
    mesh = Mesh(np.array(jax.local_devices()), ('rows',))
    return NamedSharding(mesh, PartitionSpec('rows')), NamedSharding(mesh, PartitionSpec())


def filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Returns rows [N, ...] followed by copies of the last one, [size, ...]."""
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])


def squared_norms(x: np.ndarray) -> np.ndarray:
    """Squared Euclidean norms of rows: [N, D] -> float64 [N]."""
    return np.einsum('nd,nd->n', x, x, dtype=np.float64)


def squared_distances(x: Array, y: Array, y_norms: Array) -> Array:
    """Squared Euclidean distances between rows: [N, D], [M, D], `squared_norms(y)` -> [N, M]."""
    products = jnp.matmul(x, y.T, precision='highest')
    squared = jnp.sum(x**2, axis=-1)[:, None] - 2 * products + y_norms
    return jnp.maximum(squared, 0.0)


def flat(x: np.ndarray) -> np.ndarray:
    """Reshapes [N, ...] to [N, D]."""
    return np.asarray(x).reshape(len(x), -1)
