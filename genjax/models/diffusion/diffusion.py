"""Diffusion model: a denoising network with a path, a parameterisation and a sampler."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LogProb, LossOutput, Phase, Values, Variables
from genjax.models.diffusion import likelihood
from genjax.models.diffusion.coupling import optimal_noise
from genjax.models.diffusion.editing import Editing
from genjax.models.diffusion.guidance import Guide, bounded
from genjax.models.diffusion.learned_variance import LearnedVariance
from genjax.models.diffusion.parameterisations import (
    Parameterisation,
    Prediction,
    Velocity,
)
from genjax.models.diffusion.paths import Path, Rectified
from genjax.models.diffusion.samplers import Denoiser, along
from genjax.models.diffusion.sampling import DiffusionSampling
from genjax.models.diffusion.weighting import TimeSampling, Uniform, Unweighted, Weighting
from genjax.models.precision import full_precision
from genjax.models.sampling_options import gathered

_FEATURE_NOISE = 0.1
_LIKELIHOODS = ('ode', 'hutchinson', 'vlb')


@dataclass(frozen=True)
class DiffusionModel(Editing):
    """Denoises x_t = α(t) x + σ(t) ε: diffusion (Ho et al., 2020; Song et al., 2021; Karras et al.,
    2022) and flow matching (Lipman et al., 2023), which differ in the attributes below.

    The loss is the squared error of the network's output, a mean over the dimensions, at times
    drawn by `times` and weighted by `weighting`. Parameter group and phase: 'network', then those
    of the guide. Metric: 'error', unweighted.

    Attributes:
        network: `(x [B, *event], time [B]) -> [B, *event]`, such as `TimeMLP`, `UNet` or `DiT`; its
            field `shape` is the shape of one example.
        path: path from data to noise.
        parameterisation: the network's prediction target.
        weighting: weight of the loss at each time.
        times: distribution of training times.
        coupling: coupling of noise and examples within a batch: 'independent', or 'optimal', the
            assignment of least squared distance, so that paths cross less (Pooladian et al.,
            "Multisample flow matching", 2023); with conditions, within each class or
            among equal contexts.
        variance: if given, the network is cloned with twice the channels and learns the variance of
            the reverse process as well, for the sampler `Ancestral` and the likelihood 'vlb', then
            the bound of its chain.
        uncertainty: if given, the logarithm u(t) of the squared error is learned as well, and the
            loss is error / e^u + u, so that all times count alike (Karras et al., 2024, EDM2,
            eq. 21): `time [B] -> [B]`, such as `TimeUncertainty`. Group: 'uncertainty'.
        sampling: sampling options; the networks of its guide are trained with the model.
        num_classes: if given, the network is cloned with this `num_classes` and takes a label;
            the label `num_classes` is the null label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
        condition_dropout: fraction of training examples with the null condition.
        likelihood: estimator of `log_prob`: 'ode', the probability-flow ODE, exact; 'hutchinson',
            the same with an estimate of the divergence; 'vlb', the variational lower bound.
        eval_samples: times per example for 'vlb'.
        tolerance: relative and absolute, of the ODE solver.
    """

    network: nn.Module
    path: Path = field(default_factory=Rectified)
    parameterisation: Parameterisation = field(default_factory=Velocity)
    weighting: Weighting = field(default_factory=Unweighted)
    times: TimeSampling = field(default_factory=Uniform)
    coupling: Literal['independent', 'optimal'] = 'independent'
    variance: LearnedVariance | None = None
    uncertainty: nn.Module | None = None
    sampling: DiffusionSampling = field(default_factory=DiffusionSampling)
    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None
    condition_dropout: float = 0.1
    likelihood: Literal['ode', 'hutchinson', 'vlb'] = 'ode'
    eval_samples: int = 64
    tolerance: float = 1e-5

    FREE: ClassVar[tuple[str, ...]] = ('sampling', 'likelihood', 'eval_samples', 'tolerance')

    def __post_init__(self):
        flax_utils.event_shape(self.network, 'network')
        conditions.check(self, network=self.network)
        for name, known in (
            ('coupling', ('independent', 'optimal')),
            ('likelihood', _LIKELIHOODS),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f'DiffusionModel.{name} is one of {", ".join(known)}, '
                    f'not {getattr(self, name)!r}'
                )
        if self.eval_samples < 1:
            raise UserError(
                f'DiffusionModel.eval_samples must be at least 1, not {self.eval_samples}'
            )
        flax_utils.check_shares(self, 'condition_dropout')
        if self.variance is not None and self.sampling.path is not None:
            raise UserError(
                'DiffusionModel.variance is of steps along its own path: use'
                ' DiffusionSampling.path=None'
            )
        if self._guide is not None:
            self._guide.check(self)

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config: sampling options were fields of the model, and the condition a
        label.
        """
        fields = {{'label_dropout': 'condition_dropout'}.get(k, k): v for k, v in fields.items()}
        same = ('sampler', 'grid', 'steps', 'bounds', 'guide')
        names = {name: name for name in same} | {'sampling_path': 'path'}
        return gathered(fields, DiffusionSampling, names)

    @property
    def _guide(self) -> Guide | None:
        return self.sampling.guide

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.network, 'network')

    @property
    def data_values(self) -> Values:
        return Values(type(self).__name__, unit=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The denoiser, then the phases of the guide."""
        guide = () if self._guide is None else self._guide.phases(self)
        groups = ('network',) if self.uncertainty is None else ('network', 'uncertainty')
        return (Phase('network', groups, self.denoising_loss), *guide)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes only."""
        time = jnp.zeros(len(batch['x']))
        condition = conditions.of_batch(self, batch)
        networks = {'network': self.with_condition(self.network)}
        if self._guide is not None:
            networks |= self._guide.networks(self)
        x = batch['x'].astype(jnp.float32)
        calls = {
            group: (network, (x, time, condition if conditions.is_conditional(network) else None))
            for group, network in networks.items()
        }
        if self.uncertainty is not None:
            calls['uncertainty'] = self.uncertainty, (time,)
        return flax_utils.initialise(key, calls)

    def with_condition(self, network: nn.Module) -> nn.Module:
        """Configures a denoising network with this model's condition, `time_scale` and variance."""
        if self.variance is not None:
            *sides, channels = flax_utils.event_shape(network, 'network')
            network = network.clone(shape=(*sides, 2 * channels))
        return self.with_times(conditions.with_condition(network, self))

    def with_times(self, network: nn.Module) -> nn.Module:
        """Configures a network with this model's `time_scale`."""
        return flax_utils.with_time_scale(network, self.parameterisation.time_scale)

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        label_key, key = jax.random.split(key)
        condition = conditions.to_sample(self, label_key, num, label, context)
        return self._run(self._sampling_denoiser(variables, condition), key, num)

    def features(
        self,
        variables: Variables,
        x: Array,
        t: Array | float | None = None,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the network's features (see `flax_utils.hidden`), a mean over positions, given a
        label or context, or the null condition: [B, D].

        Args:
            variables: variables of all groups.
            x: data [B, *event].
            t: time; None: where the standard deviation of the noise is a tenth of the scale of the
                data. All examples have the same noise.
            label: int32 [B].
            context: [B, *context_shape].

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null(label, context, len(x), 'features')
        t = self.path.time(-2.0 * jnp.log(_FEATURE_NOISE)) if t is None else t
        t = jnp.full((len(x), *(1,) * (x.ndim - 1)), t)
        noise = jax.random.normal(jax.random.key(0), x.shape[1:])
        x = self.path.alpha(t) * x + self.path.sigma(t) * noise
        x, time = self._network_inputs(x, t)
        network = self.with_condition(self.network)
        return flax_utils.pooled(
            flax_utils.hidden(network, variables, 'network', x, time, condition)[1]
        )

    @full_precision
    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Computes the log-density [B] in nats, or a bound or estimate (see `likelihood`), of
        p(x | label or context), or of p(x) if neither is given.

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null(label, context, len(x), 'log_prob')
        x = x.astype(jnp.float32)

        if self.likelihood == 'vlb':
            denoise = self.denoiser(variables, condition)
            bound = likelihood.vlb if self.variance is None else self.variance.bound
            value = bound(denoise, self.path, x, key, self.eval_samples)
            return LogProb(value, 'lower_bound', density=True)
        exact = self.likelihood == 'ode'
        divergence = 'exact' if exact else 'hutchinson'
        rows = () if condition is None else (condition,)
        value = likelihood.ode_log_prob(
            functools.partial(self.denoise, variables), self.path, x, key, divergence,
            self.tolerance, rows,
        )  # fmt: skip
        return LogProb(value, 'exact' if exact else 'estimate', density=True)

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, recorded with evaluations."""
        return {
            'ode': f'probability-flow ODE to {self.tolerance:g}',
            'hutchinson': f'probability-flow ODE to {self.tolerance:g}, one Hutchinson probe',
            'vlb': f'VLB of {self.eval_samples} times{self._chain}',
        }[self.likelihood]

    @property
    def _chain(self) -> str:
        return '' if self.variance is None else f' of {self.variance.num_steps}'

    def denoise(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        condition: Array | None = None,
        *,
        group: str = 'network',
    ) -> Prediction:
        """Predicts x and ε from x_t [B, *event] at t, [] or [B, 1, ...], by a group's network.

        Args:
            variables: variables of all groups.
            x: x_t.
            t: its time.
            condition: labels int32 [B], or conditions [B, F] or [B, F + 1], see `conditions`.
            group: parameter group of the network.
        """
        t = jnp.broadcast_to(t, (len(x), *(1,) * (x.ndim - 1)))
        output, _ = self.output(variables, x, t, condition, group=group)
        return self._prediction(x, t, output)

    def _prediction(self, x: Array, t: Array, output: Array) -> Prediction:
        share = None
        if self.variance is not None:
            output, share = self.variance.split(output)
        prediction = self.parameterisation.prediction(self.path, x, t, output)
        return prediction._replace(share=share)

    def output(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        condition: Array | None = None,
        *,
        group: str,
        **options: Any,
    ) -> tuple[Array, Any]:
        """Computes a network's output for x_t at t [B, 1, ...], F [B, *event] or, with learned
        variances, of twice the channels; and the new state.
        """
        network = self.network if group == 'network' else self._guide.networks(self)[group]
        x, time = self._network_inputs(x, t)
        out, state = flax_utils.apply(
            self.with_condition(network), variables, group, x, time, condition, **options
        )
        return out.astype(jnp.float32), state

    def _network_inputs(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Scales x_t, and returns the network's time [B]."""
        time = self.parameterisation.network_time(self.path, t).reshape(len(x))
        return x * self.parameterisation.input_scale(self.path, t), time

    def diffuse(
        self, key: Array, x: Array, mask: Array | None, condition: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Draws times t [B, 1, ...] and noise for x [B, *event]; returns (x_t, t, noise)."""
        time_key, noise_key = jax.random.split(key)
        t = self.times.draw(self.path, time_key, len(x)).reshape(-1, *(1,) * (x.ndim - 1))
        noise = jax.random.normal(noise_key, x.shape)
        if self.coupling == 'optimal':
            noise = optimal_noise(x, noise, mask, condition)
        return self.path.alpha(t) * x + self.path.sigma(t) * noise, t, noise

    def denoising_loss(
        self, variables: Variables, batch: Batch, key: Array, group: str = 'network'
    ) -> LossOutput:
        """Loss of a group's network: the weighted squared error of its output."""
        diffuse_key, label_key, network_key = jax.random.split(key, 3)
        x = batch['x'].astype(jnp.float32)
        condition = conditions.of_batch(self, batch)
        noisy, t, noise = self.diffuse(diffuse_key, x, batch.get('mask'), condition)
        if condition is not None:
            condition = conditions.dropped(self, label_key, condition, self.condition_dropout)
        output, state = self.output(
            variables, noisy, t, condition, group=group, train=True, key=network_key
        )
        a, b = self.parameterisation.target(self.path, t)
        direct = output if self.variance is None else self.variance.split(output)[0]
        error = jnp.mean((direct - (a * x + b * noise)).reshape(len(x), -1) ** 2, axis=-1)
        weight = self.weighting(self.path, self.parameterisation, self.times, t)
        values, metrics = weight.reshape(len(x)) * error, {'error': error}
        if self.uncertainty is not None and group == 'network':
            time = self.parameterisation.network_time(self.path, t).reshape(len(x))
            log_error, own = flax_utils.apply(self.uncertainty, variables, 'uncertainty', time)
            del own  # without state
            values = values * jnp.exp(-log_error) + log_error
        if self.variance is not None:
            prediction = self._prediction(noisy, t, output)
            bound = self.variance.loss(self.path, prediction, x, t)
            values, metrics = values + self.variance.weight * bound, {**metrics, 'bound': bound}
        return LossOutput(values, metrics, state)

    def _given_or_null(
        self, label: Array | None, context: Array | None, num: int, user: str
    ) -> Array | None:
        condition = conditions.given(self, label, context, needed=False)
        if condition is None and conditions.is_conditional(self):
            self.check_learns_null(user)
            condition = conditions.null(self, num)
        return condition

    def check_learns_null(self, user: str) -> None:
        """Raises a UserError that names the `user` if `condition_dropout` is 0."""
        if isinstance(self.condition_dropout, (int, float)) and self.condition_dropout == 0.0:
            raise UserError(
                f'{user} asks the network for its output without a condition, which is not trained '
                'with DiffusionModel.condition_dropout=0: train with .1'
            )

    def _sampling_denoiser(
        self,
        variables: Variables,
        condition: Array | None,
        *,
        wrap: Callable[[Denoiser, Path], Denoiser] | None = None,
    ) -> Denoiser:
        """Returns the denoiser along the sampler's path: guided, wrapped, then clipped."""
        if self._guide is None:
            denoise = self.denoiser(variables, condition)
        else:
            denoise = self._guide.guided(self, variables, condition)
        path, bounds = self.path, self.sampling.bounds
        if self.sampling.path is not None:
            path, denoise = self.sampling.path, along(denoise, self.path, self.sampling.path)
        if wrap is not None:
            denoise = wrap(denoise, path)
        return denoise if bounds is None else bounded(denoise, path, *bounds)

    def denoiser(
        self, variables: Variables, condition: Array | None = None, *, group: str = 'network'
    ) -> Denoiser:
        """`(x, t) -> Prediction` of a group's network, for these conditions."""
        return lambda x, t: self.denoise(variables, x, t, condition, group=group)
