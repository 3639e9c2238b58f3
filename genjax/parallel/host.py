"""From the devices of all processes to the memory of each."""

from typing import Any

import jax
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from genjax.parallel import preemption


def fetch(tree: Any) -> Any:
    """Brings arrays to the host, whole, wherever their parts lie.

    All processes must come here with the same arrays. A run that is told to stop does so here, if
    it has steps to save first.
    """
    preemption.sync_point()
    return jax.device_get(jax.tree.map(_whole, tree))


def _whole(array: Any) -> Any:
    if not isinstance(array, Array) or array.is_fully_addressable or array.is_fully_replicated:
        return array
    return multihost_utils.process_allgather(array, tiled=True)


def mesh_of(variables: Any) -> Mesh | None:
    """The devices over which a model's variables lie; None where it is but one."""
    for leaf in jax.tree.leaves(variables):
        if isinstance(leaf, Array) and len(leaf.sharding.device_set) > 1:
            return leaf.sharding.mesh
    return None


def spread(x: Array, mesh: Mesh | None) -> Array:
    """Has each device compute some rows of x [N, ...], and all of them know all; to be used inside
    of a compiled function. N need not divide.
    """
    if mesh is None:
        return x
    from genjax.parallel import sharding  # which is above, but for this

    x = jax.lax.with_sharding_constraint(x, sharding.rows(mesh))
    return jax.lax.with_sharding_constraint(x, sharding.replicated(mesh))
