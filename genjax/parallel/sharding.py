"""Device meshes and sharding rules.

Three mesh axes: `data` splits the batch, `fsdp` splits the batch and the parameters, `tensor`
splits the layers of transformers and replicates the batch. XLA derives all else from the shardings
of the step's inputs and outputs; the step itself does not depend on devices.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genjax.errors import UserError
from genjax.networks.batch_sharding import BATCH_AXES

AXES = ('data', 'fsdp', 'tensor')
MIN_SIZE_TO_SHARD = 2**16  # below this many elements, gathering costs more than the memory saved

STACKS = ('blocks', 'layer')
"""Modules scanned by `nn.scan`. Their parameters have a leading layer axis, which is never sharded:
every iteration would fetch its layer from a single device.
"""

TENSOR = (
    (r'(^|/)block(s|_\d+)/(qkv|mlp_in)/(kernel|bias)$', -1),
    (r'(^|/)block(s|_\d+)/(attention_out|mlp_out)/kernel$', -2),
)
"""Dimension of a transformer's parameters sharded over `tensor`: heads and hidden units, so that
attention and MLP need one all-reduce each (Shoeybi et al., "Megatron-LM", 2019).
"""


@dataclass(frozen=True)
class MeshShape:
    """Shape of the device mesh.

    Attributes:
        data: devices along the batch axis; -1: all that the other axes leave.
        fsdp: devices over which parameters, optimizer state and averages are sharded as well.
        tensor: devices that share the work on each example: they split the heads and hidden units
            of transformers, and parameters named by `rules`.
        rules: `(pattern, axes)` pairs. The first regular expression found in a parameter's path
            ('decoder/Dense_0/kernel') gives one axis name or None for each of its last dimensions;
            leading dimensions, such as stacked layers, stay unsharded. Parameters without a
            matching rule are sharded over `tensor` by `TENSOR`, and over `fsdp` along their largest
            divisible dimension.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    rules: tuple[tuple, ...] = ()

    def __post_init__(self):
        for name, least in (('data', -1), ('fsdp', 1), ('tensor', 1)):
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

    def make(self, devices: Sequence[jax.Device] | None = None) -> Mesh:
        """Builds the mesh over the devices (None: all of the run); raises UserError if they do not
        divide.

        With several slices, `data`, the axis with the least traffic, spans the slices.
        """
        count = jax.device_count() if devices is None else len(devices)
        inner = self.fsdp * self.tensor
        shape = (count // inner if self.data == -1 else self.data, self.fsdp, self.tensor)
        if math.prod(shape) != count or not count:
            sizes = ' x '.join(f'{name}={n}' for name, n in zip(AXES, shape, strict=True))
            raise UserError(f'config.mesh: {sizes} does not fit {count} device(s)')
        chosen = jax.devices()[:count] if devices is None else devices
        slices = len({getattr(device, 'slice_index', 0) for device in chosen})
        types = (AxisType.Auto,) * len(AXES)
        if shape[0] % slices:
            raise UserError(f'config.mesh: data={shape[0]} does not divide over {slices} slices')
        # An axis of the mesh may be part of an axis of the torus: 8 of the 16 chips in a row.
        if slices == 1:
            arranged = mesh_utils.create_device_mesh(shape, chosen, allow_split_physical_axes=True)
        else:
            within = (shape[0] // slices, *shape[1:])
            arranged = mesh_utils.create_hybrid_device_mesh(
                within, (slices, 1, 1), chosen, allow_split_physical_axes=True
            )
        return Mesh(arranged, AXES, axis_types=types)


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding that replicates an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh, leading: int = 0) -> NamedSharding:
    """Sharding of rows over `data` and `fsdp`, after `leading` unsharded dimensions."""
    return NamedSharding(mesh, PartitionSpec(*[None] * leading, BATCH_AXES))


def num_shares(mesh: Mesh) -> int:
    """Number of devices over which the batch is sharded."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch(mesh: Mesh, micro_batch: int) -> None:
    """Raises UserError if a micro-batch does not divide over the devices."""
    if micro_batch % num_shares(mesh):
        raise UserError(
            f'a micro-batch of {micro_batch} examples (batch_size / accumulate) does not divide'
            f' over {num_shares(mesh)} devices'
        )


def place(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Transfers this process's rows of a batch to its devices."""
    return jax.make_array_from_process_local_data(sharding, dict(batch))


def state_shardings(state: Any, mesh: Mesh, rules: tuple[tuple, ...]) -> Any:
    """Returns the sharding of every array in an (abstract) `TrainState`.

    Parameters follow the rules; averages and optimizer moments are sharded like their parameter;
    everything else is replicated.

    Raises:
        UserError: a rule matches no parameter or does not fit one.
    """
    table = {}
    unused = {pattern for pattern, _ in rules}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.variables['params']):
        names = _names(path)
        matches = (rule for rule in rules if re.search(rule[0], '/'.join(names)))
        rule = next(matches, None)
        unused.discard(rule and rule[0])
        axes = _ruled(rule, names, leaf.shape, mesh) if rule else _default(names, leaf.shape, mesh)
        while axes and axes[-1] is None:
            axes.pop()
        table[names] = (leaf.shape, NamedSharding(mesh, PartitionSpec(*axes)))
    if unused:
        some = ', '.join('/'.join(names) for names in list(table)[:3])
        raise UserError(
            f'config.mesh.rules: {min(unused)!r} matches no parameter (there are {some}, …)'
        )
    if mesh.shape['tensor'] > 1 and not any('tensor' in s.spec for _, s in table.values()):
        raise UserError(
            f'config.mesh.tensor={mesh.shape["tensor"]} divides no parameter: the model has no'
            ' transformer; name what to divide in config.mesh.rules, or use fsdp'
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


def _default(names: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh) -> list[str | None]:
    axes: list[str | None] = [None] * len(shape)
    path = '/'.join(names)
    dimensions = (dimension for pattern, dimension in TENSOR if re.search(pattern, path))
    split = next(dimensions, None)
    if split is not None and mesh.shape['tensor'] > 1:
        _check_divides(f'config.mesh.tensor: {path} of shape {shape}', shape[split], 'tensor', mesh)
        axes[split] = 'tensor'
    size = mesh.shape['fsdp']
    stacked = sum(name in STACKS for name in names)
    divisible = [d for d in range(stacked, len(shape)) if axes[d] is None and shape[d] % size == 0]
    if size > 1 and divisible and math.prod(shape) >= MIN_SIZE_TO_SHARD:
        axes[max(divisible, key=lambda d: shape[d])] = 'fsdp'
    return axes


def _ruled(
    rule: tuple, names: tuple[str, ...], shape: tuple[int, ...], mesh: Mesh
) -> list[str | None]:
    pattern, axes = rule
    where = f'config.mesh.rules: {pattern!r} gives {axes} for {"/".join(names)} of shape {shape}'
    if len(axes) > len(shape):
        raise UserError(f'{where}: more axes than dimensions')
    axes = [None] * (len(shape) - len(axes)) + list(axes)
    for axis, size in zip(axes, shape, strict=True):
        if axis is not None:
            _check_divides(where, size, axis, mesh)
    return axes


def _check_divides(where: str, size: int, axis: str, mesh: Mesh) -> None:
    if size % mesh.shape[axis]:
        raise UserError(f'{where}: {size} does not divide over {mesh.shape[axis]} devices')
