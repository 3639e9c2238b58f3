"""Diffusion model: a denoising network with a path, a parameterisation and a sampler."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LogProb, Phase, Variables
from genjax.models.diffusion import likelihood
from genjax.models.diffusion.editing import Editing
from genjax.models.diffusion.guidance import Guide
from genjax.models.diffusion.guided_denoisers import bounded
from genjax.models.diffusion.learned_variance import LearnedVariance
from genjax.models.diffusion.parameterisations import Parameterisation, Velocity
from genjax.models.diffusion.paths import Path, Rectified
from genjax.models.diffusion.samplers import Denoiser, along
from genjax.models.diffusion.sampling import DiffusionSampling
from genjax.models.diffusion.weighting import TimeSampling, Uniform, Unweighted, Weighting
from genjax.models.precision import full_precision
from genjax.models.sampling_options import gathered

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
        super().__post_init__()
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
    def _networks(self) -> dict[str, nn.Module]:
        networks = {'network': self.with_condition(self.network)}
        return networks if self._guide is None else networks | self._guide.networks(self)

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
        x = batch['x'].astype(jnp.float32)
        calls = {
            group: (network, (x, time, condition if conditions.is_conditional(network) else None))
            for group, network in self._networks.items()
        }
        if self.uncertainty is not None:
            calls['uncertainty'] = self.uncertainty, (time,)
        return flax_utils.initialise(key, calls)

    def _sample(self, variables: Variables, key: Array, num: int, condition: Array | None) -> Array:
        return self._run(self._sampling_denoiser(variables, condition), key, num)

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
