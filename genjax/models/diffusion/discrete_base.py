"""Base classes of discrete diffusion and masked models."""

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils, prompts
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.conditional import ConditionalModel
from genjax.models.diffusion.discrete_paths import DiscretePath, Masking
from genjax.models.diffusion.samplers import Sampler
from genjax.models.diffusion.time_schedules import Grid
from genjax.models.precision import full_precision


class DiscreteModel(ConditionalModel, ABC):
    """Base class of models that denoise all elements of an example in parallel.

    Subclasses have the attributes below and implement `_loss`.

    Attributes:
        network: one with the field `vocab_size` maps tokens int32 [B, *event] to logits
            [B, *event, vocab_size]; one without maps bits, float32 [B, *event], to the logits of 1,
            [B, *event]. The logits are those of an element given the others; the likelihood of its
            own noisy value is added by Bayes' rule. Its optional argument `time` is t in [0, 1],
            [B].
        path: path from data to noise.
        grid: time discretisation of the sampler.
        sampling: sampling options, with a field `steps`.
    """

    network: nn.Module
    path: DiscretePath
    grid: Grid
    sampling: Any

    def __post_init__(self):
        super().__post_init__()
        flax_utils.event_shape(self.network, 'network')
        name = type(self).__name__
        if isinstance(self.path, Masking) and not self._has_tokens:
            raise UserError(f'the network of a {name} needs a field vocab_size: masks are tokens')
        if getattr(self.network, 'causal', False):
            raise UserError(f'the network of a {name} must see all tokens: set causal=False')
        for number in ('chain', 'eval_samples'):
            if getattr(self, number, 1) < 1:
                raise UserError(f'{name}.{number} must be at least 1, not {getattr(self, number)}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.network, 'network')

    @property
    def prompt_shape(self) -> tuple[int, ...]:
        return (math.prod(self.event_shape),)

    @property
    def vocab_size(self) -> int | None:
        """The number of tokens; None: bits."""
        return self.num_values if self._has_tokens else None

    @property
    def data_values(self) -> Values:
        """Tokens, or bits."""
        return Values(type(self).__name__, 0, self.num_values - 1, whole=True)

    @property
    def num_values(self) -> int:
        """Number of values of an element of the data."""
        return self.network.vocab_size if self._has_tokens else 2

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        args = (*self._inputs(batch['x'], jnp.zeros(())), conditions.of_batch(self, batch))
        return flax_utils.initialise(key, {'network': (self._network, args)})

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
        prompt: Array | None = None,
    ) -> Array:
        """Draws [num, *event] in `sampling.steps` network passes. Missing labels are drawn
        uniformly. The first elements, in row-major order, are the prompt [P] or [num, P], if any;
        they stay clean, as those `given` to `token_log_probs`.

        Raises:
            UserError: a label, context or prompt that the model does not take, or a missing
                context.
        """
        condition = self._sampling_condition(key, num, label, context)
        shape = (num, *self.event_shape)
        given, is_given = prompts.padded(self, num, prompt, jnp.int32)

        def with_prompt(x: Array) -> Array:
            return jnp.where(is_given, given, x.reshape(given.shape)).reshape(shape)

        def network(condition: Array | None, x: Array, t: Array) -> tuple[Array, Variables]:
            args = (*self._inputs(x, t), condition)
            return flax_utils.apply(self._network, variables, 'network', *args)

        network = self._guided(network, condition)

        def predict(x: Array, t: Array) -> Array:
            x = with_prompt(x)
            return self._log_probs(network(x, t)[0], x, t)

        noise_key, key = jax.random.split(key)
        noise = self.path.stationary(noise_key, shape, self.num_values)
        times = self.grid(self.path, self.sampling.steps)
        x = self._sampler(predict, self.path, times, with_prompt(noise), key)
        return with_prompt(x).astype(self._dtype)

    def log_probs(
        self,
        variables: Variables,
        noisy: Array,
        t: Array,
        key: Array | None = None,
        condition: Array | None = None,
    ) -> tuple[Array, Variables]:
        """Computes log p(x | x_t), [B, *event, K], at t, [] or [B, 1, ...], and the new state; in
        train mode if a key (for dropout) is given. `condition` is [B, F] or [B, F + 1], see
        `conditions`.
        """
        args = (*self._inputs(noisy, t), condition)
        out, state = flax_utils.apply(
            self._network, variables, 'network', *args, train=key is not None, key=key
        )
        return self._log_probs(out, noisy, t), state

    def _log_probs(self, out: Array, noisy: Array, t: Array) -> Array:
        """Computes log p(x | x_t) from the network's outputs."""
        logits = out.astype(jnp.float32)
        if not self._has_tokens:
            logits = jnp.stack([jnp.zeros_like(logits), logits], axis=-1)
        return jax.nn.log_softmax(logits + self.path.log_likelihood(noisy, t, self.num_values))

    @abstractmethod
    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput: ...

    @property
    def _sampler(self) -> Sampler:
        return self.sampling.sampler

    @property
    def _has_tokens(self) -> bool:
        return getattr(self.network, 'vocab_size', None) is not None

    @property
    def _dtype(self) -> str:
        return 'int32' if self._has_tokens else 'float32'

    def _inputs(self, x: Array, t: Array) -> tuple[Array, ...]:
        """Arguments of the network."""
        x = x.astype(self._dtype)
        if 'time' not in inspect.signature(type(self.network).__call__).parameters:
            return (x,)
        t = jnp.broadcast_to(t, (len(x), *(1,) * (x.ndim - 1)))
        return x, t.reshape(len(x))


def first_elements(shape: tuple[int, ...], num: int) -> Array:
    """Marks the first `num` elements of an array of this shape, in row-major order: bool."""
    return jnp.arange(math.prod(shape)).reshape(shape) < num


class DiscreteBound(DiscreteModel):
    """Base class of models trained on a variational bound; subclasses implement `_bound`.

    Attributes:
        eval_samples: noise draws per example in `log_prob`.
    """

    eval_samples: int

    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Estimates a lower bound [B] of log p(x | label or context), or of log p(x) if neither is
        given, from `eval_samples` draws of the noise; raises what `token_log_probs` does.
        """
        tokens, _ = self.token_log_probs(variables, x, key, label=label, context=context)
        return LogProb(jnp.sum(tokens.value.reshape(len(x), -1), axis=-1), tokens.kind)

    @full_precision
    def token_log_probs(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
        given: int = 0,
    ) -> tuple[LogProb, Array]:
        """Computes each element's term of the lower bound of log p(x | label or context), or of
        log p(x), [B, *event], and a mask, bool of that shape, False for the first `given` elements
        of an example in row-major order. The `given` elements stay clean: the bound is that of the
        others conditioned on them.

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null('log_prob', len(x), label, context)
        offset_key, noise_key = jax.random.split(key)
        offset = jax.random.uniform(offset_key, (len(x),))

        def draw(inputs: tuple[Array, Array]) -> Array:
            number, key = inputs
            share = (offset + number / self.eval_samples) % 1.0
            return self._bound(variables, x.astype(jnp.int32), share, key, None, condition, given)[
                0
            ]

        keys = jax.random.split(noise_key, self.eval_samples)
        values = jax.lax.map(draw, (jnp.arange(self.eval_samples), keys))
        counted = jnp.broadcast_to(~first_elements(x.shape[1:], given), x.shape)
        return LogProb(-jnp.mean(values, axis=0), 'lower_bound'), counted

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        condition = self._training_condition(batch, key)
        share_key, noise_key, network_key = jax.random.split(key, 3)
        x = batch['x'].astype(jnp.int32)
        # Spread evenly over the batch to reduce the variance of its mean.
        share = (jax.random.uniform(share_key) + jnp.arange(len(x)) / len(x)) % 1.0
        tokens, state = self._bound(variables, x, share, noise_key, network_key, condition)
        tokens = tokens.reshape(len(x), -1)
        nats = jnp.sum(tokens, axis=-1)
        return LossOutput(nats, {'nats_per_token': nats / tokens.shape[1]}, state)

    @abstractmethod
    def _bound(
        self,
        variables: Variables,
        x: Array,
        share: Array,
        noise_key: Array,
        network_key: Array | None,
        condition: Array | None = None,
        given: int = 0,
    ) -> tuple[Array, Variables]:
        """Computes each element's term of the negative bound of x (int32) in nats, and the new
        state. `share` [B], uniform in [0, 1), sets the noise level. The first `given` elements of
        an example stay clean and contribute 0.
        """
