"""Scaled dot-product attention: plain, in chunks of keys, or by a fused kernel."""

import contextlib
import functools
import math
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError, nearest
from genjax.networks import splash
from genjax.networks.batch_sharding import mesh_of

Attention = Literal['auto', 'plain', 'chunked', 'cudnn', 'splash']

MOST_KEYS = 1024
"""Keys up to which 'auto' takes 'plain' in place of 'chunked' and 'splash': [T, keys] numbers for
each head and example."""

CHUNK = 512
"""Keys that 'chunked' takes at a time."""

_KINDS = get_args(Attention)
HALF = ('bfloat16', 'float16')
"""Types that cuDNN's attention supports."""


@dataclass(frozen=True)
class _Kernel:
    """A fused kernel: the name in messages, and what it computes."""

    name: str
    platform: str
    dtypes: tuple[str, ...]
    most_features: int
    multiple: int  # of features


# Blocks of splash attention with 512 features in float32 exceed the vector memory of a v4.
_KERNELS = {
    'cudnn': _Kernel('cuDNN', 'gpu', HALF, most_features=128, multiple=8),
    'splash': _Kernel('splash', 'tpu', ('bfloat16', 'float32'), most_features=256, multiple=1),
}

_MASKED = -1e30

_UNFUSED: ContextVar[bool] = ContextVar('unfused', default=False)
_CHOSEN: ContextVar[set[str] | None] = ContextVar('chosen', default=None)


@contextlib.contextmanager
def unfused() -> Iterator[None]:
    """Context in which networks are traced for forward-mode derivatives (`jax.jvp`,
    `jax.linearize`, `jax.jacfwd`) or those of a gradient: 'auto' does not take the fused kernels,
    which have neither.
    """
    token = _UNFUSED.set(True)
    try:
        yield
    finally:
        _UNFUSED.reset(token)


@contextlib.contextmanager
def recorded() -> Iterator[set[str]]:
    """Context that collects the kinds of attention of the networks traced in it, with reasons:
    `chunked (4,096 keys; not cuDNN: float32)`.
    """
    token = _CHOSEN.set(set())
    try:
        yield _CHOSEN.get()
    finally:
        _CHOSEN.reset(token)


def attend(
    q: Array,
    k: Array,
    v: Array,
    *,
    causal: bool,
    mask: Array | None = None,
    kind: Attention = 'auto',
) -> Array:
    """Computes softmax(q kᵀ / √D) v, with the softmax in float32.

    Args:
        q: queries [B, T, heads, D].
        k: keys [B, S, heads, D].
        v: values [B, S, heads, D].
        causal: query t attends to keys up to t only.
        mask: bool, broadcastable to [B, heads, T, S]: the keys that a query attends to.
        kind: 'plain' computes all weights [T, S] at once, 'chunked' those of `CHUNK` keys at a
            time (`attend_in_chunks`). 'cudnn', for GPUs in half precision, and 'splash', for TPUs,
            are fused kernels, without masks and with reverse-mode derivatives of first order only.
            'auto' takes 'cudnn' where it can compute this; elsewhere 'plain' up to `MOST_KEYS`
            keys, and beyond 'splash' where it can compute this, or 'chunked'.

    Returns:
        [B, T, heads, D].

    Raises:
        UserError: the fused kernel cannot compute this, or an unknown kind.
    """
    kind = _choice(kind, q, k, mask)
    with jax.named_scope(f'attention_{kind}'):
        if kind == 'cudnn':
            return jax.nn.dot_product_attention(q, k, v, is_causal=causal, implementation='cudnn')
        if kind == 'splash':
            return splash.attend_by_splash(q, k, v, causal=causal)
        # [B, heads, T, D]: XLA's CPU backend is several times slower if it chooses the order.
        q, k, v = (jnp.swapaxes(each, 1, 2) for each in (q, k, v))
        if kind == 'chunked':
            return jnp.swapaxes(attend_in_chunks(q, k, v, mask, causal=causal), 1, 2)
        if causal:
            order = jnp.tri(q.shape[2], k.shape[2], dtype=bool)
            mask = order if mask is None else mask & order
        return jnp.swapaxes(attend_by_head(q, k, v, mask), 1, 2)


def attend_by_head(q: Array, k: Array, v: Array, mask: Array | None = None) -> Array:
    """Computes plain attention of queries, keys and values [B, heads, T, D]."""
    logits = _logits(q, k)
    if mask is not None:
        logits = jnp.where(mask, logits, _MASKED)
    # Divide after the product with v: T x D divisions instead of T x T.
    weight = jnp.exp(logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True)))
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return (_mixed(weight, v) / total).astype(q.dtype)


def attend_in_chunks(
    q: Array, k: Array, v: Array, mask: Array | None = None, *, causal: bool = False
) -> Array:
    """Computes attention of queries, keys and values [B, heads, T, D] in a loop over chunks of
    keys, with a running maximum and sums (Milakov & Gimelshein, 2018; Rabe & Staats, 2021).

    Memory grows with T + S, not T · S, for the value and for derivatives of both modes in any
    order: a chunk's weights are computed again for a backward pass, which needs no result of
    earlier chunks, since the maximum has no gradient and the sums are linear.
    """
    length, num = k.shape[2], -(-k.shape[2] // CHUNK)
    size = -(-length // num)

    def chunks(x: Array, axis: int) -> Array:
        """[..., S, ...] to [num, ..., size, ...], padded with zeros."""
        width = [(0, 0)] * x.ndim
        width[axis] = (0, num * size - length)
        shape = (*x.shape[:axis], num, size, *x.shape[axis + 1 :])
        return jnp.moveaxis(jnp.pad(x, width).reshape(shape), axis, 0)

    if mask is not None:
        mask = jnp.broadcast_to(mask, (*mask.shape[:-1], length))
        mask = chunks(mask, mask.ndim - 1)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(sums: tuple[Array, ...], chunk: tuple) -> tuple[Array, ...]:
        most, total, mixed = sums
        k, v, mask, first = chunk
        place = first + jnp.arange(size)
        logits = _logits(q, k)
        if causal:
            logits = jnp.where(place <= jnp.arange(q.shape[2])[:, None], logits, _MASKED)
        if mask is not None:
            logits = jnp.where(mask, logits, _MASKED)
        if num * size > length:  # padding counts for nothing, even if all keys are masked
            logits = jnp.where(place < length, logits, -jnp.inf)
        largest = jnp.max(logits, axis=-1, keepdims=True)
        new = jax.lax.stop_gradient(jnp.maximum(most, largest))
        weight, shrink = jnp.exp(logits - new), jnp.exp(most - new)
        total = shrink * total + jnp.sum(weight, axis=-1, keepdims=True)
        return new, total, shrink * mixed + _mixed(weight, v)

    column = (*q.shape[:-1], 1)
    sums = (jnp.full(column, _MASKED), jnp.zeros(column), jnp.zeros(q.shape[:-1] + v.shape[-1:]))
    parts = (chunks(k, 2), chunks(v, 2), mask, size * jnp.arange(num))
    (_, total, mixed), _ = jax.lax.scan(lambda sums, part: (add(sums, part), None), sums, parts)
    return (mixed / total).astype(q.dtype)


def _logits(q: Array, k: Array) -> Array:
    """Computes q kᵀ / √D [B, heads, T, S] in float32."""
    logits = jnp.einsum('bhtd,bhsd->bhts', q, k, preferred_element_type=jnp.float32)
    return logits / math.sqrt(q.shape[-1])


def _mixed(weight: Array, v: Array) -> Array:
    """Computes the sums [B, heads, T, D] of values by weights [B, heads, T, S], in float32."""
    return jax.lax.dot_general(
        weight.astype(v.dtype),
        v,
        (((3,), (2,)), ((0, 1), (0, 1))),
        preferred_element_type=jnp.float32,
    )


def _choice(kind: Attention, q: Array, k: Array, mask: Array | None) -> Attention:
    """Returns the kind that computes this, and records it."""
    if kind not in _KINDS:
        known = ', '.join(_KINDS)
        raise UserError(f'attention={kind!r} is none of {known}{nearest(str(kind), _KINDS)}')
    if kind in _KERNELS and (obstacle := _obstacle(kind, q, mask)):
        raise UserError(f"attention='{kind}' cannot compute this ({obstacle}): leave it 'auto'")
    kind, reason = _auto(q, k, mask) if kind == 'auto' else (kind, 'as configured')
    if (chosen := _CHOSEN.get()) is not None:
        chosen.add(f'{kind} ({reason})')
    return kind


def _auto(q: Array, k: Array, mask: Array | None) -> tuple[Attention, str]:
    """Returns the kind to take, and why."""
    platform, keys, few = _platform(q), f'{k.shape[1]:,} keys', k.shape[1] <= MOST_KEYS
    if platform == 'tpu' and few:
        return 'plain', keys
    kind = 'splash' if platform == 'tpu' else 'cudnn'
    obstacle = _obstacle(kind, q, mask)
    if kind == 'splash' and not obstacle:
        obstacle = splash.unshared(q)
    if obstacle:
        return 'plain' if few else 'chunked', f'{keys}; not {_KERNELS[kind].name}: {obstacle}'
    return kind, f'{q.dtype.name} on a {platform.upper()}'


def _obstacle(kind: Attention, q: Array, mask: Array | None) -> str | None:
    """Returns the reason why a fused kernel cannot compute attention here; None: it can."""
    kernel, platform, features = _KERNELS[kind], _platform(q), q.shape[-1]
    if platform != kernel.platform:
        return f'on a {platform.upper()}'
    if q.dtype.name not in kernel.dtypes:
        return q.dtype.name
    if features % kernel.multiple or features > kernel.most_features:
        return f'heads of {features} features'
    if mask is not None:
        return 'a mask'
    return 'forward-mode or second derivatives' if _UNFUSED.get() else None


def _platform(q: Array) -> str:
    """Returns the platform of the mesh that the program is traced for, or the default one."""
    device = mesh_of(q).abstract_device
    platform = jax.default_backend() if device is None else device.platform
    return 'gpu' if platform in ('cuda', 'rocm') else platform
