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
from genjax.models.flow.coupling import refuse_dropout
from genjax.models.flow.flow import Base, StandardNormal
from genjax.models.precision import full_precision


class _Velocity(nn.Module):
    """The network with time as an extra input feature, and a linear head to the velocity."""

    network: nn.Module

    @nn.compact
    def __call__(self, x: Array, time: Array) -> Array:
        """Maps x [B, ..., C] at `time` [] to dx/dt [B, ..., C] in float32."""
        time = jnp.broadcast_to(time, (*x.shape[:-1], 1))
        h = self.network(jnp.concatenate([x, time.astype(x.dtype)], axis=-1))
        head = nn.Dense(x.shape[-1], kernel_init=nn.initializers.zeros, name='head')
        return head(h.astype(jnp.float32))


@dataclass(frozen=True)
class ContinuousFlow:
    """Continuous normalizing flow from data to noise along dx/dt = v(x, t), t from 0 to 1; the
    log-density changes by the divergence of v: FFJORD (Grathwohl et al., 2019). Trained by maximum
    likelihood; needs diffrax.

    Parameter group and phase: 'flow'. Metrics: 'log_det', 'penalty'. A code is the noise, [B, D].

    Training takes `train_steps` equal steps of Tsitouras' 5th-order method, so that every training
    step costs the same; all other methods solve each example adaptively to `tolerance`. Few steps
    suffice for nearly straight paths, which the two penalties encourage: "How to train your neural
    ODE" (Finlay et al., 2020), eqs. 7 and 8.

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
        tolerance: relative and absolute, of the adaptive solver outside training.
    """

    network: nn.Module
    shape: tuple[int, ...]
    base: Base = field(default_factory=StandardNormal)
    divergence: Literal['exact', 'hutchinson'] = 'exact'
    train_steps: int = 8
    kinetic: float = 0.0
    jacobian: float = 0.0
    tolerance: float = 1e-5

    FREE: ClassVar[tuple[str, ...]] = ('tolerance',)

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))
        refuse_dropout(self.network)
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
        x = batch['x'].astype(jnp.float32)
        return flax_utils.initialise(key, {'flow': (_Velocity(self.network), (x, jnp.zeros(())))})

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws x [num, *event]. Raises a UserError when given a condition."""
        conditions.refuse(self, label, context)
        return self.decode(variables, self.base.sample(key, (num, self.latent_dim)), key)

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Log-density [B] of x, exact up to the solver's tolerance, or Hutchinson's estimate."""
        directions = ode.directions(self.divergence, x, key)
        z, log_det = self._solve(variables, x, 0.0, 1.0, directions)
        kind = 'exact' if self.divergence == 'exact' else 'estimate'
        return LogProb(self.base.log_prob(z.reshape(len(x), -1)) + log_det, kind, density=True)

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Maps x to noise [B, D]; `key` is not used."""
        del key
        return self.features(variables, x)

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Maps noise z [B, D] to x [B, *event]; `key` is not used."""
        del key
        return self._solve(variables, z.reshape(-1, *self.shape), 1.0, 0.0)[0]

    def features(self, variables: Variables, x: Array) -> Array:
        """Maps x to noise [B, D]."""
        return self._solve(variables, x, 0.0, 1.0)[0].reshape(len(x), -1)

    def velocity(self, variables: Variables, x: Array, time: Array) -> Array:
        """Computes v(x, t) [B, *event] for x [B, *event] at `time` []."""
        return flax_utils.apply(_Velocity(self.network), variables, 'flow', x, time)[0]

    @full_precision
    def _solve(
        self,
        variables: Variables,
        x: Array,
        start: float,
        end: float,
        directions: Array | None = None,
    ) -> tuple[Array, Array]:
        velocity = functools.partial(self.velocity, variables)
        return ode.solve(velocity, x, start, end, self.tolerance, directions)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        diffrax = ode.import_diffrax()
        x, zeros = batch['x'].astype(jnp.float32), jnp.zeros(len(batch['x']))
        velocity_fn = functools.partial(self.velocity, variables)
        directions = ode.directions(self.divergence, x, key)

        def rate(time, state, _):
            velocity, trace, norm = ode.velocity_and_jacobian(
                velocity_fn, state[0], time, directions
            )
            speed = jnp.sum(velocity**2, axis=range(1, velocity.ndim))
            return velocity, trace, self.kinetic * speed + self.jacobian * norm

        # A scan keeps every stage for the gradient; diffeqsolve would recompute them.
        term, solver = diffrax.ODETerm(rate), diffrax.Tsit5()
        times = jnp.linspace(0.0, 1.0, self.train_steps + 1)

        def step(carry, interval):
            state, memory = carry
            state, _, _, memory, _ = solver.step(term, *interval, state, None, memory, False)
            return (state, memory), None

        start = (x, zeros, zeros)
        memory = solver.init(term, times[0], times[1], start, None)
        ((z, log_det, penalty), _), _ = jax.lax.scan(step, (start, memory), (times[:-1], times[1:]))
        log_prob = self.base.log_prob(z.reshape(len(x), -1)) + log_det
        metrics = {'log_det': log_det, 'penalty': penalty}
        return LossOutput(penalty - log_prob, metrics, variables['state'])
