"""Distributions of a pixel: the discretised logistic mixture of PixelCNN++, and categorical."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import draws
from genjax.models.base import Values

_LOG_SCALE_BOUND = 7.0


def discretised_logistic_log_prob(
    x: Array, location: Array, log_scale: Array, levels: int
) -> Array:
    """Computes the log-probability of level x in 0..levels-1 under a logistic density discretised
    into `levels` bins on [-1, 1]; the outermost bins include the tails. All arguments broadcast.
    """
    half_bin, inverse_scale = 1.0 / (levels - 1), jnp.exp(-log_scale)
    centred = x * (2.0 * half_bin) - 1.0 - location
    log_below = jax.nn.log_sigmoid((centred + half_bin) * inverse_scale)
    log_above = jax.nn.log_sigmoid(-(centred - half_bin) * inverse_scale)
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), without cancellation
    between = log_below + log_above + jnp.log(-jnp.expm1(-2.0 * half_bin * inverse_scale))
    return jnp.where(x < 0.5, log_below, jnp.where(x > levels - 1.5, log_above, between))


@dataclass(frozen=True)
class LogisticMixture:
    """Discretised mixture of logistics per pixel (Salimans et al., 2017).

    The channels of a pixel share the component; the location of each channel is linear in the
    channels before it. Data are integers 0..levels-1.

    Attributes:
        components: number of mixture components.
        levels: number of values of a channel; 256 for 8-bit images.
    """

    components: int = 5
    levels: int = 256

    def __post_init__(self):
        if self.components < 1 or self.levels < 2:
            raise UserError('LogisticMixture needs at least 1 component and 2 levels')

    @property
    def data_values(self) -> Values:
        return Values(f'LogisticMixture(levels={self.levels})', 0, self.levels - 1, whole=True)

    def outputs(self, channels: int) -> int:
        """Number of parameters per pixel."""
        return self.components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def centre(self, x: Array) -> Array:
        """Maps 0..levels-1 to [-1, 1]."""
        return x.astype(jnp.float32) * (2.0 / (self.levels - 1)) - 1.0

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability of each pixel, [B, H, W], of x [B, H, W, C]."""
        x = x.astype(jnp.float32)
        weight, location, log_scale, coupling = self._split(params, x.shape[-1])
        centred = self.centre(x)[..., None, :]
        shift = jnp.einsum('...kij,...kj->...ki', coupling, centred, precision='highest')
        location = location + shift
        channels = discretised_logistic_log_prob(x[..., None, :], location, log_scale, self.levels)
        return jax.nn.logsumexp(jax.nn.log_softmax(weight) + jnp.sum(channels, axis=-1), axis=-1)

    def sample(self, params: Array, key: Array, channels: int) -> Array:
        """Draws x [..., C] as float32, given the network's outputs for these pixels."""
        component_key, noise_key = jax.random.split(key)
        weight, *rest = self._split(params, channels)
        chosen = draws.categorical(component_key, weight)[..., None]

        def choose(a: Array) -> Array:
            index = chosen.reshape(*chosen.shape, *[1] * (a.ndim - chosen.ndim))
            return jnp.take_along_axis(a, index, axis=chosen.ndim - 1).squeeze(chosen.ndim - 1)

        location, log_scale, coupling = map(choose, rest)
        noise = jnp.exp(log_scale) * draws.logistic(noise_key, location.shape)
        x = jnp.zeros(location.shape)
        for channel in range(channels):
            mean = location[..., channel] + jnp.sum(
                coupling[..., channel, :] * self.centre(x), axis=-1
            )
            level = (mean + noise[..., channel] + 1.0) * (0.5 * (self.levels - 1))
            level = jnp.clip(jnp.round(level), 0.0, self.levels - 1.0)
            x = x.at[..., channel].set(level)
        return x

    def _split(self, params: Array, channels: int) -> tuple[Array, Array, Array, Array]:
        """Splits parameters into logits [..., K], locations and log-scales [..., K, C], and the
        coefficients of a channel's location (row) on earlier channels, [..., K, C, C].
        """
        k, c = self.components, channels
        params = params.astype(jnp.float32).reshape(*params.shape[:-1], k, -1)
        weight, location = params[..., 0], params[..., 1 : 1 + c]
        # Offset so that zero-initialised outputs give a scale of .14, some bins of an 8-bit image.
        log_scale = params[..., 1 + c : 1 + 2 * c] - 2.0
        log_scale = jnp.clip(log_scale, -_LOG_SCALE_BOUND, _LOG_SCALE_BOUND)
        rows, columns = jnp.tril_indices(c, -1)
        coupling = jnp.zeros((*location.shape, c))
        coupling = coupling.at[..., rows, columns].set(jnp.tanh(params[..., 1 + 2 * c :]))
        return weight, location, log_scale, coupling


@dataclass(frozen=True)
class Categorical:
    """Categorical distribution over the levels of each channel; the channels of a pixel are
    independent given earlier pixels. Data are integers 0..levels-1; Bernoulli for two levels.

    Attributes:
        levels: number of values of a channel.
    """

    levels: int = 2

    def __post_init__(self):
        if self.levels < 2:
            raise UserError(f'Categorical needs at least 2 levels, not {self.levels}')

    @property
    def data_values(self) -> Values:
        return Values(f'Categorical(levels={self.levels})', 0, self.levels - 1, whole=True)

    def outputs(self, channels: int) -> int:
        """One logit per level and channel."""
        return channels * self.levels

    def centre(self, x: Array) -> Array:
        """Maps 0..levels-1 to [-1, 1]."""
        return x.astype(jnp.float32) * (2.0 / (self.levels - 1)) - 1.0

    def log_prob(self, params: Array, x: Array) -> Array:
        """Log-probability of each pixel, [B, H, W], of x [B, H, W, C]."""
        log_probs = jax.nn.log_softmax(self._logits(params, x.shape[-1]))
        level = jnp.round(x).astype(jnp.int32)[..., None]
        return jnp.sum(jnp.take_along_axis(log_probs, level, axis=-1)[..., 0], axis=-1)

    def sample(self, params: Array, key: Array, channels: int) -> Array:
        """Draws x [..., C] as float32, given the network's outputs for these pixels."""
        return draws.categorical(key, self._logits(params, channels)).astype(jnp.float32)

    def _logits(self, params: Array, channels: int) -> Array:
        return params.astype(jnp.float32).reshape(*params.shape[:-1], channels, self.levels)
