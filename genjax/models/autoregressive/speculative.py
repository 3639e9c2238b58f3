"""Speculative decoding: samples of a large model of tokens, with few passes of its network."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws, flax_utils
from genjax.models.autoregressive.gpt import GPT
from genjax.models.base import Variables


def speculative_sample(
    target: tuple[GPT, Variables],
    draft: tuple[GPT, Variables],
    key: Array,
    num: int,
    *,
    ahead: int = 4,
    label: Array | None = None,
    context: Array | None = None,
) -> tuple[Array, Array]:
    """Draws sequences int32 [num, T] of the target's distribution, and returns the number of passes
    of its network for each as well, int32 [num]; without speculation there are T (Leviathan et al.,
    2023; Chen et al., 2023).

    In a round the draft draws `ahead` tokens, one after the other, and one pass of the target gives
    its probabilities of all. The tokens are kept up to the first rejection, and one more is drawn
    from what the draft misses: whatever the draft, the law is the target's. Both have the target's
    sampling options and end token.

    Args:
        target: a model and its variables.
        draft: a cheaper model of the same tokens and length, and its variables.
        key: of the draws.
        num: number of sequences.
        ahead: tokens that the draft draws in a round.
        label: classes int [num], for both models.
        context: contexts [num, *context_shape], for both.

    Raises:
        UserError: the models differ in tokens or length, or have options of whole sequences; or
            the errors of `GPT.sample`.
    """
    model, other = target[0], draft[0]
    if (model.event_shape, model.vocab_size) != (other.event_shape, other.vocab_size):
        raise UserError('speculative_sample: target and draft differ in length or vocabulary')
    if model.sampling.guidance is not None or model.sampling.beams or model.sampling.penalises:
        raise UserError(
            'speculative_sample takes no guidance, beams or repetition_penalty of the target'
        )
    condition = model._sampling_condition(key, num, label, context)
    keys = jax.random.split(key, num)
    if condition is None:
        return jax.vmap(lambda key: _one(target, draft, key, ahead, None))(keys)
    return jax.vmap(lambda *args: _one(target, draft, args[0], ahead, args[1]))(keys, condition)


def accepted_or_redrawn(key: Array, token: Array, p: Array, q: Array) -> tuple[Array, Array]:
    """Accepts a token of the law q [V] with probability min(1, p / q), and draws one of the law
    ∝ max(0, p - q), for when it is rejected: the result has the law p [V].

    Returns:
        Whether the token is accepted, and the other token.
    """
    accept_key, key = jax.random.split(key)
    accepted = jax.random.uniform(accept_key) * q[token] < p[token]
    return accepted, draws.categorical(key, jnp.log(jnp.maximum(p - q, 0.0)))


def _one(
    target: tuple[GPT, Variables],
    draft: tuple[GPT, Variables],
    key: Array,
    ahead: int,
    condition: Array | None,
) -> tuple[Array, Array]:
    """Draws one sequence [T]; returns the number of passes as well."""
    model = target[0]
    (length,) = model.event_shape
    sampling, end = model.sampling, model.end

    def law(logits: Array, before: Array) -> Array:
        """Probabilities [..., V] given network outputs and the tokens before, int [...]."""
        p = jax.nn.softmax(sampling.filter(logits.astype(jnp.float32)))
        if end is None:
            return p
        only = jax.nn.one_hot(end, model.vocab_size)
        return jnp.where((before == end)[..., None], only, p)

    def laws(pair: tuple[GPT, Variables], x: Array) -> Array:
        """Probabilities [T, V] of each token of x [T] given those before it."""
        own, variables = pair
        inputs = own._shift(x[None])
        given = None if condition is None else condition[None]
        logits, _ = flax_utils.apply(own._network, variables, 'network', inputs, given)
        return law(logits[0], inputs[0])

    def round_of(state: tuple[Any, ...]) -> tuple[Any, ...]:
        x, known, passes, key = state
        key, draw_key, judge_key, last_key = jax.random.split(key, 4)

        def propose(j: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            x, q = state
            q_j = laws(draft, x)[jnp.minimum(known + j, length - 1)]
            token = draws.categorical(jax.random.fold_in(draw_key, j), jnp.log(q_j))
            return x.at[known + j].set(token, mode='drop'), q.at[j].set(q_j)

        q = jnp.zeros((ahead, model.vocab_size))
        x, q = jax.lax.fori_loop(0, ahead, propose, (x, q))
        places = jnp.minimum(known + jnp.arange(ahead + 1), length - 1)
        p = laws(target, x)[places]
        keys = jax.random.split(judge_key, ahead)
        accepted, others = jax.vmap(accepted_or_redrawn)(keys, x[places[:-1]], p[:-1], q)
        kept = jnp.sum(jnp.cumprod(accepted))  # up to the first rejection
        last = draws.categorical(last_key, jnp.log(p[-1]))
        x = x.at[known + kept].set(jnp.append(others, last)[kept], mode='drop')
        return x, known + kept + 1, passes + 1, key

    start = jnp.zeros(length, jnp.int32), jnp.int32(0), jnp.int32(0), key
    x, _, passes, _ = jax.lax.while_loop(lambda state: state[1] < length, round_of, start)
    return x, passes
