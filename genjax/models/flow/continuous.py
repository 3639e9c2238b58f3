"""The continuous normalizing flow."""

import functools
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils, ode
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.flow.bases import Base, StandardNormal
from genjax.models.flow.coupling import refuse_dropout, with_context
from genjax.models.precision import full_precision


class _Velocity(nn.Module):
    """The network with time and context as extra input features, and a linear head to velocity."""

    network: nn.Module

    @nn.compact
    def __call__(self, x: Array, time: Array, context: Array | None = None) -> Array:
        """Maps x [B, ..., C] at `time` [] to dx/dt [B, ..., C] in float32."""
        time = jnp.broadcast_to(time, (*x.shape[:-1], 1))
        inputs = jnp.concatenate([x, time.astype(x.dtype)], axis=-1)
        h = self.network(with_context(inputs, context))
        head = nn.Dense(x.shape[-1], kernel_init=nn.initializers.zeros, name='head')
        return head(h.astype(jnp.float32))


@dataclass(frozen=True)
class ContinuousFlow:
    """Continuous normalizing flow from data to noise along dx/dt = v(x, t), t from 0 to 1; the
    log-density changes by the divergence of v: FFJORD (Grathwohl et al., 2019). Trained by maximum
    likelihood; needs diffrax.

    Parameter group and phase: 'flow'. Metrics: 'log_det', 'penalty' and 'error', the solver's
    estimate of its errors in x and log-density, absolute values summed over dimensions and steps. A
    code is the noise, [B, D], followed in a conditional flow by the one-hot label or flattened
    context.

    Training takes `train_steps` equal steps of Tsitouras' 5th-order method, so that every training
    step costs the same; all other methods solve each example adaptively to `tolerance`. Errors that
    raise the log-density are learned, until the steps are unstable and training diverges. A weight
    `error` of 10 makes them cost more than they gain (Pal et al., "Opening the blackbox", 2021).
    Few steps suffice for nearly straight paths, which `kinetic` and `jacobian` encourage: "How to
    train your neural ODE" (Finlay et al., 2020), eqs. 7 and 8.

    Attributes:
        network: x with the time as an extra feature to features: [B, F] for vectors, [B, ..., F]
            for images. A zero-initialised linear head to the velocity is added. It must be smooth
            ('tanh', 'silu', 'softplus').
        shape: the shape of one example.
        base: the distribution of the noise.
        divergence: of v in training and `log_prob`. 'exact' costs D Jacobian-vector products;
            'hutchinson' one, with random signs, unbiased: `log_prob` is then an estimate.
        train_steps: steps of the solver in training.
        kinetic: weight in the loss of ∫ |v|² dt along the path.
        jacobian: weight in the loss of ∫ ‖∂v/∂x‖² dt (Frobenius), or of its Hutchinson estimate.
        error: weight in the loss of the metric 'error'.
        tolerance: relative and absolute, of the adaptive solver outside training.
        num_classes: if given, the network takes labels, one-hot, as extra features.
        context_shape: if given, it takes contexts of this shape, flattened, as extra features.
    """

    network: nn.Module
    shape: tuple[int, ...]
    base: Base = field(default_factory=StandardNormal)
    divergence: Literal['exact', 'hutchinson'] = 'exact'
    train_steps: int = 8
    kinetic: float = 0.0
    jacobian: float = 0.0
    error: float = 0.0
    tolerance: float = 1e-5
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    FREE: ClassVar[tuple[str, ...]] = ('tolerance',)

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))
        refuse_dropout(self.network)
        conditions.check(self)
        if self.divergence not in ('exact', 'hutchinson'):
            raise UserError(
                f"ContinuousFlow.divergence is 'exact' or 'hutchinson', not {self.divergence!r}"
            )
        if self.train_steps < 1:
            raise UserError(f'ContinuousFlow.train_steps must be 1 or more, not {self.train_steps}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def data_values(self) -> Values:
        return Values(type(self).__name__, unit=True)

    @property
    def latent_dim(self) -> int:
        """The dimension of a code, equal to that of an example."""
        return math.prod(self.shape)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('flow', ('flow',), self._loss),)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        x, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        args = (x, jnp.zeros(()), condition)
        return flax_utils.initialise(key, {'flow': (_Velocity(self.network), args)})

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws x [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        label_key, key = jax.random.split(key) if conditions.is_conditional(self) else (key, key)
        condition = conditions.to_sample(self, label_key, num, label, context)
        z = self.base.sample(key, (num, self.latent_dim)).reshape(-1, *self.shape)
        return self._solve(variables, z, condition, 1.0, 0.0)[0]

    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Log-density [B] of x given the label or context, exact up to the solver's tolerance, or
        Hutchinson's estimate; without a label, of the uniform mixture over classes.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        log_prob = functools.partial(self._log_prob, variables, x, key)
        value = conditions.mixture(self, log_prob, len(x), label, context)
        kind = 'exact' if self.divergence == 'exact' else 'estimate'
        return LogProb(value, kind, density=True)

    def _log_prob(
        self, variables: Variables, x: Array, key: Array, condition: Array | None
    ) -> Array:
        directions = ode.directions(self.divergence, x, key)
        z, log_det = self._solve(variables, x, condition, 0.0, 1.0, directions)
        return self.base.log_prob(z.reshape(len(x), -1)) + log_det

    def encode(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps x to noise [B, D], followed by its condition; a label that is not given is the most
        likely class.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        log_prob = functools.partial(self._log_prob, variables, x, key)
        condition = conditions.given_or_likely(self, log_prob, len(x), label, context)
        z = self._solve(variables, x, condition, 0.0, 1.0)[0].reshape(len(x), -1)
        return z if condition is None else jnp.concatenate([z, condition], axis=-1)

    def decode(
        self,
        variables: Variables,
        z: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps noise z [B, D] to x [B, *event]; a label or context takes the place of the one at
        the end of the code. `key` is not used.
        """
        del key
        z, condition = conditions.split_code(self, z, label, context)
        return self._solve(variables, z.reshape(-1, *self.shape), condition, 1.0, 0.0)[0]

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps x to noise [B, D]; see `encode`."""
        key = jax.random.key(0)  # of the estimate that chooses the class
        z = self.encode(variables, x, key, label=label, context=context)
        return z[:, : self.latent_dim]

    def velocity(
        self, variables: Variables, x: Array, time: Array, condition: Array | None = None
    ) -> Array:
        """Computes v(x, t) [B, *event] for x [B, *event] at `time` []."""
        return flax_utils.apply(_Velocity(self.network), variables, 'flow', x, time, condition)[0]

    @full_precision
    def _solve(
        self,
        variables: Variables,
        x: Array,
        condition: Array | None,
        start: float,
        end: float,
        directions: Array | None = None,
    ) -> tuple[Array, Array]:
        velocity = functools.partial(self.velocity, variables)
        rows = () if condition is None else (condition,)
        return ode.solve(velocity, x, start, end, self.tolerance, directions, rows)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        diffrax = ode.import_diffrax()
        x, zeros = batch['x'].astype(jnp.float32), jnp.zeros(len(batch['x']))
        velocity_fn = functools.partial(self.velocity, variables)
        directions = ode.directions(self.divergence, x, key)
        condition = conditions.of_batch(self, batch)
        rows = () if condition is None else (condition,)

        def rate(time, state, _):
            velocity, trace, norm = ode.velocity_and_jacobian(
                velocity_fn, state[0], time, directions, rows
            )
            speed = jnp.sum(velocity**2, axis=range(1, velocity.ndim))
            return velocity, trace, self.kinetic * speed + self.jacobian * norm

        # A scan keeps every stage for the gradient; diffeqsolve would recompute them.
        term, solver = diffrax.ODETerm(rate), diffrax.Tsit5()
        times = jnp.linspace(0.0, 1.0, self.train_steps + 1)

        def step(carry, interval):
            state, memory = carry
            state, error, _, memory, _ = solver.step(term, *interval, state, None, memory, False)
            in_x, in_log_det, _ = jax.tree.map(jnp.abs, error)
            return (state, memory), jnp.sum(in_x.reshape(len(x), -1), axis=-1) + in_log_det

        start = (x, zeros, zeros)
        memory = solver.init(term, times[0], times[1], start, None)
        intervals = times[:-1], times[1:]
        ((z, log_det, penalty), _), errors = jax.lax.scan(step, (start, memory), intervals)
        log_prob = self.base.log_prob(z.reshape(len(x), -1)) + log_det
        error = jnp.sum(errors, axis=0)
        metrics = {'log_det': log_det, 'penalty': penalty, 'error': error}
        return LossOutput(penalty + self.error * error - log_prob, metrics, variables['state'])
