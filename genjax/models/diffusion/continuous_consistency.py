"""Continuous-time consistency models, trained from data or distilled from a diffusion model."""

import math
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.checks import check_number
from genjax.models.diffusion.diffusion import DiffusionModel
from genjax.models.diffusion.few_step_base import FewStepModel, per_example
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import along
from genjax.models.diffusion.sampling import FewStepSampling
from genjax.networks import TimeUncertainty
from genjax.networks.attention import unfused

_NORM = 0.1  # c of the paper


@dataclass(frozen=True)
class _Circle(Path):
    """α = cos t and σ = s sin t (TrigFlow), with t in radians."""

    data_scale: float
    t_min: float = 0.0
    t_max: float = math.pi / 2

    def alpha(self, t: Array) -> Array:
        return jnp.cos(t)

    def sigma(self, t: Array) -> Array:
        return self.data_scale * jnp.sin(t)

    def time(self, log_snr: Array) -> Array:
        return jnp.arctan(jnp.exp(-0.5 * log_snr) / self.data_scale)


@dataclass(frozen=True)
class ContinuousConsistency(FewStepModel):
    """sCM (Lu & Song, "Simplifying, stabilizing and scaling continuous-time consistency models",
    2025): learns f(x_t, t) = cos t x_t - s sin t F(x_t / s, t), constant along the trajectories of
    x_t = cos t x + s sin t ε, from its derivative along them, a Jacobian-vector product.

    The trajectories have the velocity of each example and its noise (sCT) or that of a teacher
    (sCD). Groups: 'network' and 'uncertainty', one phase; and 'teacher', which is not trained: fill
    it with `Start(run, groups={'teacher': 'network'})`. Metrics: 'error', unweighted, and
    'tangent', the norm of the derivative.

    Attributes:
        network: F, `(x [B, *event], time [B]) -> [B, *event]`, such as `TimeMLP` or `UNet`; its
            field `shape` is the shape of one example. It must be smooth.
        teacher: a diffusion model without conditions, sampled along the trajectories.
        data_scale: s, the standard deviation of the data.
        progress: r, share of the derivative of F in the tangent; best raised from 0 to 1 in the
            first part of training (`Scheduled`).
        mean: mean of the normal log (s tan t) in training.
        std: its standard deviation.
        sigma_max: maximum of s tan t, where sampling starts.
        uncertainty: logarithm of the error as a function of time, `time [B] -> [B]`, which is
            learned and by which the loss is weighted.
        sampling: sampling options; every step after the first adds fresh noise.
        num_classes: if given, the network is cloned with this `num_classes` and takes a label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
    """

    network: nn.Module
    teacher: DiffusionModel | None = None
    data_scale: float = 0.5
    progress: float = 1.0
    mean: float = -1.0
    std: float = 1.4
    sigma_max: float = 80.0
    uncertainty: nn.Module = field(default_factory=TimeUncertainty)
    sampling: FewStepSampling = field(default_factory=FewStepSampling)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    @property
    def given_groups(self) -> tuple[str, ...]:
        """Groups that no phase trains."""
        return () if self.teacher is None else ('teacher',)

    def __post_init__(self):
        super().__post_init__()
        check_number('ContinuousConsistency.progress', self.progress, high=1.0)
        if self.teacher is None:
            return
        if self.teacher.event_shape != self.event_shape:
            raise UserError(
                f'ContinuousConsistency.teacher is of examples of shape {self.teacher.event_shape},'
                f' the network of {self.event_shape}'
            )
        if conditions.is_conditional(self.teacher):
            raise UserError('ContinuousConsistency.teacher must have no num_classes or context')

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network', 'uncertainty'), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x, time = batch['x'].astype(jnp.float32), jnp.zeros(len(batch['x']))
        calls = {
            'network': (self._network, (x, time, conditions.of_batch(self, batch))),
            'uncertainty': (self.uncertainty, (time,)),
        }
        if self.teacher is not None:
            calls['teacher'] = self.teacher.with_condition(self.teacher.network), (x, time)
        return flax_utils.initialise(key, calls)

    def _sample(self, variables: Variables, key: Array, num: int, condition: Array | None) -> Array:
        path = self._path

        def step(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            t, key = inputs
            noisy = path.alpha(t) * x + path.sigma(t) * jax.random.normal(key, x.shape)
            out, _ = self._output(
                variables, noisy / self.data_scale, jnp.full((num,), t), condition
            )
            return path.alpha(t) * noisy - path.sigma(t) * out, None

        steps = self.sampling.steps
        times = math.atan(self.sigma_max / self.data_scale) * (1.0 - jnp.arange(steps) / steps)
        start = jnp.zeros((num, *self.event_shape))
        return jax.lax.scan(step, start, (times, jax.random.split(key, steps)))[0]

    @property
    def _path(self) -> Path:
        return _Circle(self.data_scale)

    def _velocity(self, variables: Variables, x: Array, noise: Array, t: Array) -> Array:
        """Computes dx_t / dt of the trajectories, t [B, 1, …]."""
        path = self._path
        if self.teacher is None:
            return path.sigma(t) / jnp.tan(t) * noise - jnp.sin(t) * x
        denoise = along(self._teacher(variables), self.teacher.path, path)
        noisy = path.alpha(t) * x + path.sigma(t) * noise
        prediction = denoise(noisy, t)
        return self.data_scale * jnp.cos(t) * prediction.noise - jnp.sin(t) * prediction.data

    def _teacher(self, variables: Variables) -> Any:
        params = {'network': variables['params']['teacher']}
        state = variables['state']
        own = {'network': state['teacher']} if 'teacher' in state else {}
        return self.teacher.denoiser({'params': params, 'state': own})

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        t_key, noise_key, key = jax.random.split(key, 3)
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        ratio = jnp.exp(self.mean + self.std * jax.random.normal(t_key, x.shape[:1]))
        t = jnp.arctan(ratio / self.data_scale)
        noise = jax.random.normal(noise_key, x.shape)
        out, tangent, state = self._tangent(variables, x, noise, t, condition, train=True, key=key)
        norm = jnp.linalg.norm(tangent.reshape(len(x), -1), axis=-1)
        step = tangent / per_example(norm + _NORM, x)
        target = jax.lax.stop_gradient(out - step)
        error = jnp.mean((out - target).reshape(len(x), -1) ** 2, axis=-1)
        log_error, _ = flax_utils.apply(self.uncertainty, variables, 'uncertainty', t)
        values = error * jnp.exp(-log_error) + log_error
        return LossOutput(values, {'error': error, 'tangent': norm}, state)

    def _tangent(
        self,
        variables: Variables,
        x: Array,
        noise: Array,
        t: Array,
        condition: Array | None = None,
        **options: Any,
    ) -> tuple[Array, Array, Any]:
        """Computes F, -cos t df/dt with its share `progress` (algorithm 1 of the paper, before the
        normalisation), and the new state, for t [B].
        """
        angle = per_example(t, x)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        noisy = cos * x + self.data_scale * sin * noise
        velocity = jax.lax.stop_gradient(self._velocity(variables, x, noise, angle))

        def output(x: Array, t: Array) -> tuple[Array, Any]:
            return self._output(variables, x / self.data_scale, t, condition, **options)

        scale = cos * sin
        with unfused():
            out, slope, state = jax.jvp(
                output, (noisy, t), (scale * velocity, scale.reshape(len(t))), has_aux=True
            )
        direct = cos**2 * (self.data_scale * out - velocity)
        rest = scale * noisy + self.data_scale * slope
        return out, direct + self.progress * rest, state
