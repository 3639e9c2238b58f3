"""How devices are arranged, and which array lies where.

Two mesh axes: `data` splits the batch, `fsdp` splits the batch and the parameters. All else follows
from the shardings of the step's inputs and outputs; the step itself knows nothing of devices.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genjax.errors import UserError

AXES = ('data', 'fsdp')
MIN_SIZE_TO_SHARD = 2**16  # below this many elements, gathering costs more than the memory saved


@dataclass(frozen=True)
class MeshShape:
    """The arrangement of devices.

    Attributes:
        data: devices along the batch axis; -1 takes all that `fsdp` leaves.
        fsdp: devices over which parameters, optimizer state and averages are sharded as well.
        rules: `(pattern, axes)` pairs. The first whose regular expression is found in a parameter's
            path ('decoder/Dense_0/kernel') gives one axis name or None per dimension. Parameters
            that no rule names are split over `fsdp` along their largest divisible dimension.
    """

    data: int = -1
    fsdp: int = 1
    rules: tuple[tuple, ...] = ()

    def __post_init__(self):
        """Refuses what fits no devices and no model."""
        for name, least in (('data', -1), ('fsdp', 1)):
            if getattr(self, name) < least or getattr(self, name) == 0:
                raise ValueError(f'{name}={getattr(self, name)} is not a number of devices')
        for rule in self.rules:
            if len(rule) != 2 or not isinstance(rule[0], str) or not isinstance(rule[1], tuple):
                raise ValueError(f"rules: {rule!r} is not of the form ('pattern', (axis, …))")
            pattern, axes = rule
            try:
                re.compile(pattern)
            except re.error as e:
                raise ValueError(f'rules: {pattern!r} is not a regular expression: {e}') from None
            named = [axis for axis in axes if axis is not None]
            if not set(named) <= set(AXES) or len(set(named)) < len(named):
                raise ValueError(
                    f'rules: {pattern!r} gives {axes}: each is None or one of {AXES}, once'
                )

    def make(self) -> Mesh:
        """Arranges all devices of the run; raises UserError when they do not divide."""
        count = jax.device_count()
        data = count // self.fsdp if self.data == -1 else self.data
        if data * self.fsdp != count:
            raise UserError(
                f'config.mesh: data={self.data} x fsdp={self.fsdp} does not fit {count} device(s)'
            )
        return jax.make_mesh((data, self.fsdp), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh, leading: int = 0) -> NamedSharding:
    """Rows spread over all devices, after `leading` unsharded dimensions."""
    return NamedSharding(mesh, PartitionSpec(*[None] * leading, AXES))


def check_batch(mesh: Mesh, micro_batch: int) -> None:
    """Refuses a micro-batch that does not divide over the devices."""
    if micro_batch % mesh.size:
        raise UserError(
            f'a micro-batch of {micro_batch} examples (batch_size / accumulate) does not divide'
            f' over {mesh.size} devices'
        )


def place(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Sends this process's rows of a batch to its devices."""
    return jax.make_array_from_process_local_data(sharding, dict(batch))


def state_shardings(state: Any, mesh: Mesh, rules: tuple[tuple, ...]) -> Any:
    """The sharding of every array in an (abstract) `TrainState`.

    Parameters follow the rules; averages and optimizer moments lie where their parameter lies;
    everything else is replicated.

    Raises:
        UserError: a rule that matches no parameter or does not fit one.
    """
    table = {}
    unused = {pattern for pattern, _ in rules}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.variables['params']):
        names = _names(path)
        matches = (rule for rule in rules if re.search(rule[0], '/'.join(names)))
        rule = next(matches, None)
        unused.discard(rule and rule[0])
        spec = _checked(rule, names, leaf.shape, mesh) if rule else _default(leaf.shape, mesh)
        table[names] = (leaf.shape, NamedSharding(mesh, spec))
    if unused:
        some = ', '.join('/'.join(names) for names in list(table)[:3])
        raise UserError(
            f'config.mesh.rules: {min(unused)!r} matches no parameter (there are {some}, …)'
        )

    def sharding(path, leaf):
        names = _names(path)
        for start in range(len(names)):
            shape, layout = table.get(names[start:], (None, None))
            if shape == leaf.shape:
                return layout
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(sharding, state)


def _names(path: tuple) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _default(shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    size = mesh.shape['fsdp']
    divisible = [d for d in range(len(shape)) if shape[d] % size == 0]
    if size == 1 or not divisible or math.prod(shape) < MIN_SIZE_TO_SHARD:
        return PartitionSpec()
    largest = max(divisible, key=lambda d: shape[d])
    return PartitionSpec(*[None] * largest, 'fsdp')


def _checked(
    rule: tuple, names: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh
) -> PartitionSpec:
    pattern, axes = rule
    where = f'config.mesh.rules: {pattern!r} gives {axes} for {"/".join(names)} of shape {shape}'
    if len(axes) > len(shape):
        raise UserError(f'{where}: more axes than dimensions')
    for axis, size in zip(axes, shape, strict=False):
        if axis is not None and size % mesh.shape[axis]:
            raise UserError(f'{where}: {size} does not divide over {mesh.shape[axis]} devices')
    return PartitionSpec(*axes)
