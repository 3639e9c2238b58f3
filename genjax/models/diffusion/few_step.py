"""One-step and few-step generative models: MeanFlow and shortcut models.

Both use straight paths x_t = (1 - t) x + t ε and learn the mean velocity between two times, so that
a single step can cover the whole path.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.diffusion.few_step_base import FewStepModel, per_example
from genjax.models.diffusion.paths import Rectified
from genjax.models.diffusion.sampling import FewStepSampling
from genjax.models.diffusion.weighting import LogitNormal, TimeSampling
from genjax.models.sampling_options import gathered
from genjax.networks.attention import unfused


class _MeanVelocity(FewStepModel):
    """Base class: a network of x_t, t and the length of the step from t."""

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        return gathered(fields, FewStepSampling, {'steps': 'steps'})

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x = batch['x'].astype(jnp.float32)
        args = (x, jnp.zeros((len(x), 2)), conditions.of_batch(self, batch))
        return flax_utils.initialise(key, {'network': (self._network, args)})

    def _sample(self, variables: Variables, key: Array, num: int, condition: Array | None) -> Array:
        steps = self.sampling.steps
        length = jnp.full((num,), 1.0 / steps)

        def step(x: Array, t: Array) -> tuple[Array, None]:
            velocity, _ = self._velocity(variables, x, jnp.full((num,), t), length, condition)
            return x - velocity / steps, None

        x = jax.random.normal(key, (num, *self.event_shape))
        return jax.lax.scan(step, x, jnp.arange(steps, 0, -1) / steps)[0]

    def _velocity(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        length: Array,
        condition: Array | None,
        **options: Any,
    ) -> tuple[Array, Any]:
        """Computes the mean velocity [B, *event] from t [B] to t - length, and the new state."""
        time = jnp.stack([t, length], axis=-1)
        return self._output(variables, x, time, condition, **options)


@dataclass(frozen=True)
class MeanFlow(_MeanVelocity):
    """Learns the mean velocity u between times r and t from the identity u = v - (t - r) du/dt
    (Geng et al., "Mean flows for one-step generative modeling", 2025); du/dt is a Jacobian-vector
    product of the network. The parameter group is 'network'. Metric: 'error', unweighted.

    Attributes:
        network: `(x [B, *event], time [B, 2]) -> [B, *event]`, with time = (t, t - r); such as
            `TimeMLP`; its field `shape` is the shape of one example. It must be smooth, in time as
            well (see `time_scale` of the networks).
        times: distribution of t and r.
        instant: fraction of examples with r = t, which learn the instantaneous velocity.
        power: p of the weight 1 / (error + .001)^p, without gradient: 0 is the squared error; 1 is
            close to its logarithm, suitable in high dimensions but biased in few.
        tangent: velocity of x_t in du/dt: 'sampled', as in the paper, or 'predicted', u at r = t,
            which has the same mean without noise (Geng et al., "Improved mean flows", 2025) and
            costs one more network pass.
        sampling: sampling options.
        num_classes: if given, the network is cloned with this `num_classes` and takes a label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
    """

    network: nn.Module
    times: TimeSampling = field(default_factory=lambda: LogitNormal(-0.4, 1.0))
    instant: float = 0.75
    power: float = 1.0
    tangent: Literal['sampled', 'predicted'] = 'sampled'
    sampling: FewStepSampling = field(default_factory=FewStepSampling)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        flax_utils.check_shares(self, 'instant')
        if self.tangent not in ('sampled', 'predicted'):
            raise UserError(f"MeanFlow.tangent is 'sampled' or 'predicted', not {self.tangent!r}")

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        t_key, r_key, instant_key, noise_key, key = jax.random.split(key, 5)
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        a, b = (
            jax.random.permutation(k, self.times.draw(Rectified(), k, len(x)))
            for k in (t_key, r_key)
        )
        t, r = jnp.maximum(a, b), jnp.minimum(a, b)
        r = jnp.where(jax.random.bernoulli(instant_key, self.instant, t.shape), t, r)
        noise = jax.random.normal(noise_key, x.shape)
        noisy, velocity = _between(x, noise, t), noise - x

        def mean_velocity(x: Array, length: Array, t: Array) -> tuple[Array, Any]:
            return self._velocity(variables, x, t, length, condition, train=True, key=key)

        predicted = self.tangent == 'predicted'
        tangent = mean_velocity(noisy, jnp.zeros_like(t), t)[0] if predicted else velocity
        ones = jnp.ones_like(t)
        with unfused():
            out, slope, state = jax.jvp(
                mean_velocity, (noisy, t - r, t), (tangent, ones, ones), has_aux=True
            )
        target = velocity - per_example(t - r, x) * slope
        error = _squared_error(out, jax.lax.stop_gradient(target))
        weight = jax.lax.stop_gradient((error + 1e-3) ** -self.power)
        return LossOutput(weight * error, {'error': error}, state)


@dataclass(frozen=True)
class Shortcut(_MeanVelocity):
    """Learns steps of several lengths, with one step of length 2 d equal to two of length d (Frans
    et al., "One step diffusion via shortcut models", 2025). The parameter group is 'network'.
    Metric: 'error'.

    Part of each batch learns this self-consistency, from two steps of the current network; the rest
    learns the velocity, a step of length 0.

    Attributes:
        network: `(x [B, *event], time [B, 2]) -> [B, *event]`, with time = (t, step length); such
            as `TimeMLP`; its field `shape` is the shape of one example.
        consistent: fraction of examples that learn self-consistency.
        halvings: the shortest step is 1 / 2^halvings.
        sampling: sampling options; `steps` must be a power of two.
        num_classes: if given, the network is cloned with this `num_classes` and takes a label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
    """

    time_scale = 1000.0
    network: nn.Module
    consistent: float = 0.25
    halvings: int = 7
    sampling: FewStepSampling = field(default_factory=FewStepSampling)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        flax_utils.check_shares(self, 'consistent')
        steps = self.sampling.steps
        if steps not in [2**k for k in range(self.halvings + 1)]:
            raise UserError(
                f'Shortcut.sampling.steps must be a power of two up to {2**self.halvings},'
                f' not {steps}'
            )

    def _velocity(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        length: Array,
        condition: Array | None,
        **options: Any,
    ) -> tuple[Array, Any]:
        # The shortest step is a step of length 0, the velocity.
        length = jnp.where(length <= 0.5**self.halvings, 0.0, length)
        return super()._velocity(variables, x, t, length, condition, **options)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        t_key, level_key, noise_key, key = jax.random.split(key, 4)
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        noise = jax.random.normal(noise_key, x.shape)
        pairs = max(1, round(self.consistent * len(x)))

        # The first examples take two steps of length d from a time that is a multiple of 2 d.
        level = jax.random.randint(level_key, x.shape[:1], 1, self.halvings + 1)
        half = 0.5 ** level.astype(jnp.float32)
        t = jax.random.uniform(t_key, x.shape[:1])
        is_pair = jnp.arange(len(x)) < pairs
        t = jnp.where(is_pair, jnp.ceil(t * 0.5 / half) * 2.0 * half, t)
        noisy = _between(x, noise, t)

        def step(x: Array, t: Array) -> Array:
            rows = None if condition is None else condition[:pairs]
            return self._velocity(variables, x, t[:pairs], half[:pairs], rows)[0]

        first = step(noisy[:pairs], t)
        middle = noisy[:pairs] - per_example(half[:pairs], x) * first
        mean = 0.5 * (first + step(middle, t - half))
        target = jnp.concatenate([mean, (noise - x)[pairs:]])
        length = jnp.where(is_pair, 2.0 * half, 0.0)
        out, state = self._velocity(variables, noisy, t, length, condition, train=True, key=key)
        error = _squared_error(out, jax.lax.stop_gradient(target)) / x[0].size
        return LossOutput(error, {'error': error}, state)


def _between(x: Array, noise: Array, t: Array) -> Array:
    t = per_example(t, x)
    return (1.0 - t) * x + t * noise


def _squared_error(a: Array, b: Array) -> Array:
    """Computes Σ (a - b)² of each example, [B]."""
    return jnp.sum((a - b).reshape(len(a), -1) ** 2, axis=-1)
