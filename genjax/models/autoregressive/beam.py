"""Beam search."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def beam_search(
    step: Callable[[Array, Any, Array], tuple[Array, Any]],
    carry: Any,
    first: Array,
    prompt: tuple[Array, Array],
    width: int,
    reordered: Callable[[Any, Array], Any],
    end: int | None = None,
) -> tuple[Array, Array]:
    """Searches for the most probable sequences: at each token keeps the `width` best of all
    continuations of those kept before.

    Args:
        step: (token [N * width], carry, position) -> (logits [N * width, V], carry).
        carry: initial carry.
        first: input of the first step, [N * width].
        prompt: tokens [N * width, T], and which of them are given, bool [T].
        width: number of sequences to keep of each of N.
        reordered: (carry, rows [N * width]) -> the carry of these rows.
        end: token that only itself can follow.

    Returns:
        The sequences int32 [N, width, T], the best first, and their log-probabilities, given the
        prompt, [N, width].
    """
    tokens, is_given = prompt
    num, length = len(first) // width, len(is_given)
    own = jnp.arange(width)[None]

    def body(state: tuple, inputs: tuple[Array, Array, Array]) -> tuple[tuple, None]:
        found, total, previous, carry = state
        position, given, is_given = inputs
        logits, carry = step(previous, carry, position)
        log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
        if end is not None:
            ended = jnp.where(jnp.arange(logits.shape[-1]) == end, 0.0, -jnp.inf)
            log_p = jnp.where((previous == end)[:, None], ended, log_p)
        log_p = log_p.reshape(num, width, -1)
        best, place = jax.lax.top_k((total[..., None] + log_p).reshape(num, -1), width)
        parent = jnp.where(is_given, own, place // log_p.shape[-1])
        token = jnp.where(is_given, given.reshape(num, width), place % log_p.shape[-1])
        found = jnp.take_along_axis(found, parent[..., None], axis=1).at[:, :, position].set(token)
        rows = (parent + width * jnp.arange(num)[:, None]).ravel()
        total = jnp.where(is_given, total, best)
        return (found, total, token.ravel(), reordered(carry, rows)), None

    found = jnp.zeros((num, width, length), jnp.int32)
    total = jnp.where(own == 0, 0.0, -jnp.inf) * jnp.ones((num, 1))  # the rest are copies
    inputs = (jnp.arange(length), jnp.moveaxis(tokens, 0, 1), is_given)
    (found, total, _, _), _ = jax.lax.scan(body, (found, total, first, carry), inputs)
    return found, total
