"""Attention by the fused kernel for TPUs that JAX ships, "splash attention"."""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import AbstractMesh, PartitionSpec

from genjax.networks.batch_sharding import BATCH_AXES, mesh_of

BLOCK = 512
"""Most queries or keys in a block, as in MaxText; 128, the kernel's default, is its least."""

_LEAST_BLOCK = 128


def attend_by_splash(q: Array, k: Array, v: Array, *, causal: bool) -> Array:
    """Computes attention of queries [B, T, heads, D], keys and values [B, S, heads, D].

    Queries are divided by √D in their own precision. XLA does not partition kernels: devices share
    examples by `BATCH_AXES` and heads by 'tensor' where these divide them, and else repeat them.
    """
    attend, mesh = functools.partial(_attend, causal=causal), mesh_of(q)
    if mesh.size > 1 and not mesh.are_all_axes_manual:
        rows, heads = _axes(q, mesh)
        spec = PartitionSpec(rows, None, heads)
        attend = jax.shard_map(
            attend, mesh=mesh, in_specs=(spec,) * 3, out_specs=spec, check_vma=False
        )
    return attend(q, k, v)


def unshared(q: Array) -> str | None:
    """Returns the reason why the devices cannot share the attention of queries [B, T, heads, D];
    None: they can, or there is one.
    """
    mesh = mesh_of(q)
    if mesh.empty:
        return 'several devices without a mesh' if jax.device_count() > 1 else None
    shared = math.prod(mesh.shape[axis] for axes in _axes(q, mesh) for axis in axes)
    if shared == mesh.size or mesh.are_all_axes_manual:
        return None
    sizes = ' x '.join(f'{axis}={size}' for axis, size in mesh.shape.items())
    return f'a batch of {q.shape[0]} and {q.shape[2]} heads over {sizes}'


def _axes(q: Array, mesh: AbstractMesh) -> list[tuple[str, ...]]:
    """Returns the axes of a mesh that share the examples, and those that share the heads."""
    found = []
    for size, names in ((q.shape[0], BATCH_AXES), (q.shape[2], ('tensor',))):
        axes = tuple(name for name in names if name in mesh.axis_names)
        divides = size % math.prod(mesh.shape[axis] for axis in axes) == 0
        found.append(axes if divides else ())
    return found


def _attend(q: Array, k: Array, v: Array, *, causal: bool) -> Array:
    """Computes attention on one device."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash  # takes 0.1 s

    num_queries, num_keys = q.shape[1], k.shape[1]
    q, block_q = _in_blocks(q / math.sqrt(q.shape[-1]))
    (k, block_kv), (v, _) = _in_blocks(k), _in_blocks(v)
    shape = (q.shape[2], k.shape[2])
    mask = splash.CausalMask(shape) if causal else splash.FullMask(shape)
    kernel = splash.make_splash_mha(
        splash.MultiHeadMask([mask] * q.shape[1]),
        block_sizes=splash.BlockSizes(
            block_q=block_q, block_q_dkv=block_q, block_q_dq=block_q,
            block_kv=block_kv, block_kv_dkv=block_kv, block_kv_dq=block_kv,
        ),
        head_shards=1,
        q_seq_shards=1,
    )  # fmt: skip
    segments = None
    if shape[1] > num_keys:  # queries see the first segment only, which the padding is not in
        padding = (jnp.arange(shape[1]) >= num_keys).astype(jnp.int32)
        segments = splash.SegmentIds(jnp.zeros(shape[0], jnp.int32), padding)
    out = jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)
    return jnp.swapaxes(out[:, :, :num_queries], 1, 2)


def _in_blocks(x: Array) -> tuple[Array, int]:
    """Returns x [B, T, heads, D] as [B, heads, T', D], padded with zeros to blocks of even size,
    and the size.
    """
    length = x.shape[1]
    num = -(-length // BLOCK)
    size = _LEAST_BLOCK * -(-length // (num * _LEAST_BLOCK))
    padding = (0, num * size - length)
    return jnp.pad(jnp.swapaxes(x, 1, 2), ((0, 0), (0, 0), padding, (0, 0))), size
