"""Consistency training: a network that maps every point of a noisy path to its data."""

import math
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.diffusion.few_step_base import FewStepModel, per_example
from genjax.models.diffusion.sampling import FewStepSampling
from genjax.models.sampling_options import gathered


@dataclass(frozen=True)
class ConsistencyModel(FewStepModel):
    """Improved consistency training (Song & Dhariwal, 2024), without a teacher: learns a function
    with f(x_σ, σ) = f(x_σ', σ') for neighbours σ' < σ with the same x and ε, x_σ = x + σ ε.

    f = c_skip x_σ + c_out F is exact at σ_min: c_skip = s² / ((σ - σ_min)² + s²), c_out =
    s (σ - σ_min) / √(σ² + s²). The parameter group is 'network'. Metric: 'distance'.

    Attributes:
        network: F, `(x [B, *event], time [B]) -> [B, *event]`, with time = ¼ log σ; such as
            `TimeMLP` or `UNet`; its field `shape` is the shape of one example.
        num_scales: number of noise levels σ, spaced as in `KarrasSchedule`; best doubled during
            training, starting from 10 (`Scheduled`).
        data_scale: s, the standard deviation of the data.
        sigma_min: minimum of σ.
        sigma_max: maximum of σ, where sampling starts.
        rho: ρ of the spacing.
        mean: mean of the normal log σ in training.
        std: standard deviation of the normal log σ in training.
        sampling: sampling options; every step after the first adds fresh noise.
        num_classes: if given, the network is cloned with this `num_classes` and takes a label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
    """

    network: nn.Module
    num_scales: float = 160.0
    data_scale: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    mean: float = -1.1
    std: float = 2.0
    sampling: FewStepSampling = field(default_factory=FewStepSampling)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.num_scales, (int, float)) and self.num_scales < 2:
            raise UserError(
                f'ConsistencyModel.num_scales must be at least 2, not {self.num_scales}'
            )

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        return gathered(fields, FewStepSampling, {'steps': 'steps'})

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x = batch['x'].astype(jnp.float32)
        args = (x, jnp.zeros(len(x)), conditions.of_batch(self, batch))
        return flax_utils.initialise(key, {'network': (self._network, args)})

    def _sample(self, variables: Variables, key: Array, num: int, condition: Array | None) -> Array:

        def step(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            sigma, key = inputs
            noise = jax.random.normal(key, x.shape)
            fresh = jnp.sqrt(jnp.maximum(sigma**2 - self.sigma_min**2, 0.0))
            at = jnp.full((num,), sigma)
            return self._denoised(variables, x + fresh * noise, at, condition)[0], None

        sigmas = self._sigma(jnp.linspace(1.0, 0.0, self.sampling.steps + 1)[:-1])
        start = jnp.zeros((num, *self.event_shape))
        return jax.lax.scan(step, start, (sigmas, jax.random.split(key, self.sampling.steps)))[0]

    def _sigma(self, place: Array) -> Array:
        """Computes σ at a position in [0, 1] of the spacing from σ_min to σ_max."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (low + place * (high - low)) ** self.rho

    def _denoised(
        self,
        variables: Variables,
        x: Array,
        sigma: Array,
        condition: Array | None = None,
        **options: Any,
    ) -> tuple[Array, Any]:
        """Computes f(x, σ) for σ [B], and the new state."""
        time = 0.25 * jnp.log(sigma)
        sigma, s = per_example(sigma, x), self.data_scale
        norm = jnp.sqrt(sigma**2 + s**2)
        above = sigma - self.sigma_min
        out, state = self._output(variables, x / norm, time, condition, **options)
        skip = s**2 / (above**2 + s**2)
        return skip * x + s * above / norm * out, state

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        sigma_key, noise_key, key = jax.random.split(key, 3)
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        # Draw log σ from a normal truncated to the range and take the neighbouring noise levels:
        # the paper's discrete distribution, section 3.5.
        ends = [(math.log(end) - self.mean) / self.std for end in (self.sigma_min, self.sigma_max)]
        normal = jax.random.truncated_normal(sigma_key, *ends, x.shape[:1])
        drawn = jnp.exp(self.mean + self.std * normal)
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        place = (drawn ** (1 / self.rho) - low) / (high - low)
        last = jnp.floor(jnp.asarray(self.num_scales, jnp.float32)) - 1.0
        number = jnp.clip(jnp.floor(place * last), 0.0, last - 1.0)
        below, sigma = self._sigma(number / last), self._sigma((number + 1.0) / last)

        noise = jax.random.normal(noise_key, x.shape)

        def denoised(sigma: Array) -> tuple[Array, Any]:
            noisy = x + per_example(sigma, x) * noise
            return self._denoised(variables, noisy, sigma, condition, train=True, key=key)

        out, state = denoised(sigma)
        target = jax.lax.stop_gradient(denoised(below)[0])
        squares = jnp.sum((out - target).reshape(len(x), -1) ** 2, axis=-1)
        huber = 0.00054 * math.sqrt(math.prod(self.event_shape))
        distance = jnp.sqrt(squares + huber**2) - huber
        return LossOutput(distance / (sigma - below), {'distance': distance}, state)
