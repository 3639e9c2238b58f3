"""Norms of the parts of a tree of parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.training.frozen import path_of


def norms(tree: Any, depth: int) -> dict[str, Array]:
    """Returns the Euclidean norm of all leaves with the same first `depth` names in their paths, by
    these names, such as `encoder/Dense_0`; of nothing for a depth of 0.
    """
    squares: dict[str, Array] = {}
    if depth:
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            name = path_of(path[:depth])
            square = jnp.sum(jnp.square(leaf.astype(jnp.float32)))
            squares[name] = squares.get(name, 0.0) + square
    return {name: jnp.sqrt(square) for name, square in squares.items()}
