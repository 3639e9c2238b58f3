"""Finds non-finite numbers in a train state, even where no loss shows them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from genjax.training.state import on_device


def all_finite(tree: Any) -> Array:
    """Returns whether every float of a tree is finite, bool []."""
    return jnp.all(_each_finite([leaf for _, leaf in _floats(tree)]))


def first_nonfinite(state: Any) -> str | None:
    """Name of the first non-finite leaf of a state, such as
    `variables/params/decoder/Dense_0/kernel`; None if all are finite.

    Collective: one reduction on the devices of the state.
    """
    leaves = _floats(state)
    sharding = getattr(leaves[0][1], 'sharding', None) if leaves else None
    whole = None
    if isinstance(sharding, NamedSharding):
        whole = NamedSharding(sharding.mesh, PartitionSpec())
    check = jax.jit(_each_finite, out_shardings=whole)
    finite = np.asarray(check([leaf for _, leaf in leaves]))
    bad = np.flatnonzero(~finite)
    if not bad.size:
        return None
    return jax.tree_util.keystr(leaves[bad[0]][0], simple=True, separator='/')


def _each_finite(leaves: Sequence[Array]) -> Array:
    """Returns whether each leaf is finite, bool [number of leaves]."""
    each = [jnp.all(jnp.isfinite(on_device(leaf))) for leaf in leaves]
    return jnp.stack(each) if each else jnp.ones(0, bool)


def _floats(tree: Any) -> list[tuple[Any, Array]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(path, a) for path, a in leaves if jnp.issubdtype(a.dtype, jnp.inexact)]
