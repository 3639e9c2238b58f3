"""Models that fill in masked tokens: masked diffusion (MDLM) and MaskGIT."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import modules
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Variables


class _Masked:
    """What both have in common: a network that sees all tokens at once, some of them masked."""

    network: nn.Module
    steps: int

    def __post_init__(self):
        modules.event_shape(self.network, 'network')
        name = type(self).__name__
        if getattr(self.network, 'vocab_size', None) is None:
            raise UserError(f'the network of a {name} needs a field vocab_size')
        if getattr(self.network, 'causal', False):
            raise UserError(f'the network of a {name} must see all tokens: set causal=False')
        if self.steps < 1:
            raise UserError(f'{name}.steps must be at least 1, not {self.steps}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sequence."""
        return modules.event_shape(self.network, 'network')

    @property
    def phases(self) -> tuple[Phase, ...]:
        """One player."""
        return (Phase('network', ('network',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        return modules.initialise(key, {'network': (self.network, (batch['x'],))})

    def sample(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """Draws [num, length], all masked at first, in `steps` passes of the network. Raises a
        UserError when given a label.
        """
        if label is not None:
            raise UserError(f'a {type(self).__name__} learns no labels: sample without one')

        def fill(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            number, key = inputs
            logits, _ = modules.apply(self.network, variables, 'network', x)
            token_key, choice_key = jax.random.split(key)
            logits = logits.astype(jnp.float32)
            tokens = jax.random.categorical(token_key, logits).astype(jnp.int32)
            masked = x == self.network.vocab_size
            tokens = jnp.where(masked, tokens, x)
            keep_masked = self._keep_masked(number, masked, tokens, logits, choice_key)
            return jnp.where(keep_masked, x, tokens), None

        first = jnp.full((num, *self.event_shape), self.network.vocab_size, jnp.int32)
        inputs = (jnp.arange(self.steps), jax.random.split(key, self.steps))
        return jax.lax.scan(fill, first, inputs)[0]

    def _token_losses(
        self, variables: Variables, x: Array, masked: Array, key: Array | None
    ) -> tuple[Array, Variables]:
        """-log p of each masked token given the others, [B, T], 0 elsewhere, and the new state."""
        seen = jnp.where(masked, self.network.vocab_size, x)
        out, state = modules.apply(
            self.network, variables, 'network', seen, train=key is not None, key=key
        )
        log_probs = jax.nn.log_softmax(out.astype(jnp.float32))
        values = jnp.take_along_axis(log_probs, x[..., None], axis=-1)[..., 0]
        return jnp.where(masked, -values, 0.0), state


@dataclass(frozen=True)
class MDLM(_Masked):
    """Masked diffusion of tokens (Sahoo et al., 2024; Shi et al., 2024).

    A token is masked by time t in [0, 1] with probability t. The negative evidence lower bound in
    continuous time is E_t (1/t) Σ_masked -log p(x_i | the tokens not masked). With t integrated out
    this is E_n (T/n) Σ_masked -log p(x_i | …) over n of the T tokens masked, n uniform in 1..T: the
    same bound, with less noise. It is the loss, in nats a sequence. The parameter group is
    'network'. Metric: 'nats_per_token'.

    Attributes:
        network: int32 [B, T] to logits [B, T, vocab_size], not causal; the token `vocab_size` is
            the mask. Such as `Transformer` with causal=False.
        steps: passes of the network in sampling.
        eval_samples: sets of masks drawn an example in `log_prob`, their sizes spread evenly.
    """

    network: nn.Module
    steps: int = 64
    eval_samples: int = 16

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Lower bound [B] of log p(x), an average over `eval_samples` sets of masks."""
        tokens, _ = self.token_log_probs(variables, x, key)
        return LogProb(jnp.sum(tokens.value, axis=-1), tokens.kind)

    def token_log_probs(self, variables: Variables, x: Array, key: Array) -> tuple[LogProb, Array]:
        """What each token adds to the lower bound, [B, T], and ones: all tokens are counted."""
        offset_key, mask_key = jax.random.split(key)
        offset = jax.random.uniform(offset_key, (len(x),))

        def draw(inputs: tuple[Array, Array]) -> Array:
            number, key = inputs
            share = (offset + number / self.eval_samples) % 1.0
            return self._bound(variables, x, share, key, None)[0]

        keys = jax.random.split(mask_key, self.eval_samples)
        values = jax.lax.map(draw, (jnp.arange(self.eval_samples), keys))
        return LogProb(-jnp.mean(values, axis=0), 'lower_bound'), jnp.ones(x.shape, bool)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        share_key, mask_key, dropout_key = jax.random.split(key, 3)
        x = batch['x']
        # Spread evenly over the batch: less noise in its mean.
        share = (jax.random.uniform(share_key) + jnp.arange(len(x)) / len(x)) % 1.0
        tokens, state = self._bound(variables, x, share, mask_key, dropout_key)
        nats = jnp.sum(tokens, axis=-1)
        return LossOutput(nats, {'nats_per_token': nats / x.shape[1]}, state)

    def _bound(
        self, variables: Variables, x: Array, share: Array, mask_key: Array, key: Array | None
    ) -> tuple[Array, Variables]:
        """What each token adds to the bound, with a `share` [B] in [0, 1) of the tokens masked."""
        length = x.shape[1]
        num = jnp.minimum(1 + jnp.floor(share * length), length)[:, None]
        masked = _smallest(jax.random.uniform(mask_key, x.shape), num)
        losses, state = self._token_losses(variables, x, masked, key)
        return losses * (length / num), state

    def _keep_masked(
        self, number: Array, masked: Array, tokens: Array, logits: Array, key: Array
    ) -> Array:
        """From time t to s, a masked token stays so with probability s / t."""
        del tokens, logits
        remaining = self.steps - number
        stay = jax.random.uniform(key, masked.shape) < (remaining - 1) / remaining
        return masked & stay


@dataclass(frozen=True)
class MaskGIT(_Masked):
    """Masked tokens filled in by confidence (Chang et al., 2022). It has no likelihood.

    A training example has a share cos(π r / 2) of its tokens masked, r uniform; the loss is the
    mean of -log p over these, in nats. Sampling draws all masked tokens in each pass and masks the
    least certain of them again, fewer each time. The parameter group is 'network'.

    Attributes:
        network: int32 [B, T] to logits [B, T, vocab_size], not causal; the token `vocab_size` is
            the mask. Such as `Transformer` with causal=False.
        steps: passes of the network in sampling.
        choice_temperature: of the Gumbel noise on the confidence, falling to 0 over the passes.
    """

    network: nn.Module
    steps: int = 12
    choice_temperature: float = 4.5

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        ratio_key, mask_key, dropout_key = jax.random.split(key, 3)
        x = batch['x']
        ratio = jnp.cos(0.5 * jnp.pi * jax.random.uniform(ratio_key, (len(x),)))
        num = jnp.ceil(ratio * x.shape[1])[:, None]
        masked = _smallest(jax.random.uniform(mask_key, x.shape), num)
        losses, state = self._token_losses(variables, x, masked, dropout_key)
        return LossOutput(jnp.sum(losses, axis=-1) / jnp.sum(masked, axis=-1), {}, state)

    def _keep_masked(
        self, number: Array, masked: Array, tokens: Array, logits: Array, key: Array
    ) -> Array:
        """The least certain tokens, as many as the schedule wants masked after this pass."""
        done = (number + 1) / self.steps
        # Rounded down past a rounding error, so that none is left at the end.
        num = jnp.floor(jnp.cos(0.5 * jnp.pi * done) * tokens.shape[1] + 1e-4)
        confidence = jnp.take_along_axis(
            jax.nn.log_softmax(logits), tokens[..., None] % logits.shape[-1], axis=-1
        )[..., 0]
        noise = jax.random.gumbel(key, confidence.shape)
        confidence = confidence + self.choice_temperature * (1.0 - done) * noise
        return masked & _smallest(jnp.where(masked, confidence, jnp.inf), num)


def _smallest(values: Array, num: Array) -> Array:
    """Which `num` of the values in each row [B, T] are the smallest, bool [B, T]."""
    rank = jnp.argsort(jnp.argsort(values, axis=-1), axis=-1)
    return rank < num
