"""Transfers between sharded device arrays and host memory."""

from typing import Any

import jax
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from genjax.parallel import preemption


def fetch(tree: Any) -> Any:
    """Gathers arrays, however sharded, to host memory.

    Collective: all processes must call it with the same arrays. It is a sync point: a preempted run
    with unsaved steps stops here.
    """
    preemption.sync_point()
    return jax.device_get(jax.tree.map(_whole, tree))


def _whole(array: Any) -> Any:
    if not isinstance(array, Array) or array.is_fully_addressable or array.is_fully_replicated:
        return array
    return multihost_utils.process_allgather(array, tiled=True)


def mesh_of(variables: Any) -> Mesh | None:
    """Returns the mesh of a model's variables; None for a single device."""
    for leaf in jax.tree.leaves(variables):
        if isinstance(leaf, Array) and len(leaf.sharding.device_set) > 1:
            return leaf.sharding.mesh
    return None


def spread(x: Array, mesh: Mesh | None) -> Array:
    """Constrains x [N, ...], inside a jitted function, to be computed in row shards and then
    replicated. N need not divide.
    """
    if mesh is None:
        return x
    from genjax.parallel import sharding  # the only import from a higher layer

    x = jax.lax.with_sharding_constraint(x, sharding.rows(mesh))
    return jax.lax.with_sharding_constraint(x, sharding.replicated(mesh))
