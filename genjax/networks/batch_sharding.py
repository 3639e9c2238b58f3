"""Where the examples of a batch lie while a network that is spread over devices computes."""

import math

import jax
from jax import Array
from jax.sharding import PartitionSpec

BATCH_AXES = ('data', 'fsdp')
"""The axes of a mesh over which the rows of a batch are spread."""


def keep_rows(x: Array) -> Array:
    """Keeps the rows of x [B, ...] on the devices that they are spread over.

    The compiler chooses what moves, parameters to activations or the other way round, and gets it
    wrong where parameters are spread over the same devices as rows: at the input of each block this
    settles it. Where no mesh has been named (`jax.sharding.use_abstract_mesh`), or it does not
    divide the rows, this does nothing.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(axis for axis in BATCH_AXES if axis in mesh.axis_names)
    if not axes or x.shape[0] % math.prod(mesh.shape[axis] for axis in axes):
        return x
    others = [PartitionSpec.UNCONSTRAINED] * (x.ndim - 1)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(axes, *others))
