"""Sharding constraint for the batch dimension."""

import math

import jax
from jax import Array
from jax.sharding import AbstractMesh, PartitionSpec

BATCH_AXES = ('data', 'fsdp')
"""The axes of a mesh over which the batch dimension is sharded."""


def keep_rows(x: Array) -> Array:
    """Constrains x [B, ...] to be sharded over `BATCH_AXES` along its first dimension.

    If parameters are sharded over the same devices as the batch, the compiler may move activations
    instead of parameters; this constraint at the input of each block prevents that. Does nothing
    without an abstract mesh (`jax.sharding.use_abstract_mesh`), or if its axes do not divide B.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(axis for axis in BATCH_AXES if axis in mesh.axis_names)
    if not axes or x.shape[0] % math.prod(mesh.shape[axis] for axis in axes):
        return x
    others = [PartitionSpec.UNCONSTRAINED] * (x.ndim - 1)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(axes, *others))


def mesh_of(x: Array) -> AbstractMesh:
    """Returns the mesh that a program of x is traced for: that of the context, or else of the
    sharding of x; an empty one if neither has any.
    """
    mesh = jax.sharding.get_abstract_mesh()
    return jax.typeof(x).sharding.mesh if mesh.empty else mesh
