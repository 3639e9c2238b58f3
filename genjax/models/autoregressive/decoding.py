"""Autoregressive sampling: filters of logits, and the sampling loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.checks import check_number
from genjax.models.conditional import GuidedSampling


def keep_top_k(logits: Array, k: int) -> Array:
    """Sets all but the k largest logits [..., V] to -inf; keeps ties with the k-th. Raises a
    UserError for k < 1.
    """
    check_number('top_k', k, 1)
    k = min(k, logits.shape[-1])
    smallest = jax.lax.top_k(logits, k)[0][..., -1:]
    return jnp.where(logits >= smallest, logits, -jnp.inf)


def keep_top_p(logits: Array, p: float | Array) -> Array:
    """Sets logits [..., V] outside the nucleus to -inf (Holtzman et al., 2020). The nucleus is the
    smallest set of most probable tokens with total probability of at least p. Raises a UserError
    for p outside [0, 1].
    """
    check_number('top_p', p, 0, 1)
    order = jnp.argsort(-logits, axis=-1)
    probability = jnp.take_along_axis(jax.nn.softmax(logits, axis=-1), order, axis=-1)
    before = jnp.cumsum(probability, axis=-1) - probability
    # Always keep the most probable token.
    kept = (before < p) | (jnp.arange(logits.shape[-1]) == 0)
    place = jnp.argsort(order, axis=-1)
    return jnp.where(jnp.take_along_axis(kept, place, axis=-1), logits, -jnp.inf)


def greedy(logits: Array) -> Array:
    """Returns logits [..., V] with all probability on the (first) most probable token."""
    best = jnp.argmax(logits, axis=-1, keepdims=True)
    return jnp.where(jnp.arange(logits.shape[-1]) == best, 0.0, -jnp.inf)


def check_options(
    owner: str,
    temperature: float | Array,
    top_k: int | None,
    top_p: float | Array | None,
) -> None:
    """Raises a UserError for sampling options out of range; `owner` prefixes their names."""
    check_number(f'{owner}temperature', temperature)
    check_number(f'{owner}top_k', top_k, 1)
    check_number(f'{owner}top_p', top_p, 0, 1, above=True)


def filter_logits(
    logits: Array,
    temperature: float | Array = 1.0,
    top_k: int | None = None,
    top_p: float | Array | None = None,
) -> Array:
    """Divides logits [..., V] by the temperature, then keeps the top k, then the nucleus p.

    A temperature of 0, or one that makes the logits overflow, keeps only the (first) largest logit.

    Args:
        logits: [..., V].
        temperature: at least 0; an array broadcasts to the logits.
        top_k: at least 1; None: all.
        top_p: in (0, 1]; an array broadcasts to the logits; None: all.

    Raises:
        UserError: an option is out of range.
    """
    check_options('', temperature, top_k, top_p)
    scaled = logits / temperature
    overflows = ~jnp.isfinite(jnp.max(scaled, axis=-1, keepdims=True))
    logits = jnp.where(overflows, greedy(logits), scaled)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return logits


@dataclass(frozen=True)
class TokenSampling(GuidedSampling):
    """Sampling options of autoregressive models of tokens. Guidance comes before the others.

    Attributes:
        temperature: divides the logits; 0 is greedy decoding.
        top_k: number of most probable tokens to sample from; None: all.
        top_p: nucleus sampling: total probability of the most probable tokens to sample from, in
            (0, 1]; None: all.
        repetition_penalty: before all else, positive logits of tokens that the sequence, or its
            prompt, already has are divided by this number, and negative ones multiplied (Keskar et
            al., CTRL, 2019). 1: no penalty.
        beams: number of sequences that beam search keeps at each token. A sample is the one with
            the largest log-probability, and depends on no random number. None: sampling.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    beams: int | None = None

    def __post_init__(self):
        check_options('TokenSampling.', self.temperature, self.top_k, self.top_p)
        check_number('TokenSampling.beams', self.beams, 1)
        check_number('TokenSampling.repetition_penalty', self.repetition_penalty, 0, above=True)
        if self.beams is not None and self.penalises:
            raise UserError('TokenSampling.beams does not go with a repetition_penalty')

    @property
    def penalises(self) -> bool:
        """True if there is a repetition penalty."""
        penalty = self.repetition_penalty
        return not (isinstance(penalty, int | float) and penalty == 1)

    def filter(self, logits: Array) -> Array:
        """Applies `filter_logits` to logits [..., V]."""
        return filter_logits(logits, self.temperature, self.top_k, self.top_p)


def penalised(
    step: Callable[[Array, Any, Array], tuple[Array, Any]], penalty: float | Array
) -> Callable[[Array, Any, Array], tuple[Array, Any]]:
    """Returns a step of `generate` with a repetition penalty on its logits [B, V]; its carry is
    that of `step` and the tokens so far, bool [B, V].
    """

    def new(token: Array, carry: Any, position: Array) -> tuple[Array, Any]:
        carry, seen = carry
        seen |= jax.nn.one_hot(token, seen.shape[1], dtype=bool)  # none for the first input
        logits, carry = step(token, carry, position)
        logits = logits.astype(jnp.float32)
        lowered = jnp.where(logits > 0, logits / penalty, logits * penalty)
        return jnp.where(seen, lowered, logits), (carry, seen)

    return new


def generate(
    step: Callable[[Array, Any, Array], tuple[Array, Any]],
    carry: Any,
    first: Array,
    draw: Callable[[Array, Array, Array], Array],
    key: Array,
    prompt: tuple[Array, Array],
    resized: Callable[[Any, int], Any] | None = None,
) -> Array:
    """Draws sequences under `lax.scan`.

    Args:
        step: (element [B, ...], carry, position) -> (parameters of the next element, carry).
        carry: initial carry.
        first: input of the first step, [B, ...].
        draw: (key, parameters, previous element) -> element [B, ...].
        key: split into one key per position.
        prompt: elements [B, T, ...], and which of them are given, bool [T]; the others are drawn.
        resized: (carry, length) -> carry with room for the first `length` positions, so that a step
            processes little more than what is filled; None: carries have one size.

    Returns:
        [B, T, ...]
    """
    elements, is_given = prompt

    def body(state: tuple[Array, Any], inputs: tuple[Array, ...]):
        previous, carry = state
        position, key, given, is_given = inputs
        parameters, carry = step(previous, carry, position)
        drawn = draw(key, parameters, previous).astype(first.dtype)
        element = jnp.where(is_given, given, drawn)
        return (element, carry), element

    length = len(is_given)
    keys = jax.random.split(key, length)
    inputs = (jnp.arange(length), keys, jnp.moveaxis(elements, 0, 1), is_given)
    parts, start = [], 0
    for end in [length] if resized is None else _ends(length):
        if resized is not None:
            carry = resized(carry, end)
        part = tuple(each[start:end] for each in inputs)
        (first, carry), drawn = jax.lax.scan(body, (first, carry), part)
        parts.append(drawn)
        start = end
    return jnp.moveaxis(jnp.concatenate(parts), 0, 1)


def _ends(length: int) -> list[int]:
    """Returns the ends of at most four parts of at least 64 positions: more would compute little
    less and compile longer.
    """
    width = max(64, math.ceil(length / 4))
    return [min(end, length) for end in range(width, length + width, width)]


def uncached(
    network: Callable[[Array, Array | None], Array],
) -> Callable[[Array, Array, Array, Array | None], tuple[Array, Array]]:
    """Returns the `step` of a network (x, condition) without a cache: each step processes all
    elements again. Its carry is the elements seen so far, [B, T, ...].
    """

    def step(
        element: Array, seen: Array, position: Array, condition: Array | None
    ) -> tuple[Array, Array]:
        seen = jax.lax.dynamic_update_index_in_dim(seen, element, position, axis=1)
        out = network(seen, condition)
        return jax.lax.dynamic_index_in_dim(out, position, axis=1, keepdims=False), seen

    return step
