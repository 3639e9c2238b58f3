"""Sampling options of diffusion models."""

from dataclasses import dataclass, field

from genjax.models.checks import check_number
from genjax.models.conditional import GuidedSampling
from genjax.models.diffusion.discrete_samplers import DiscreteAncestral
from genjax.models.diffusion.guidance import Guide
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import Heun, Sampler
from genjax.models.diffusion.time_schedules import Grid, PowerSchedule
from genjax.models.sampling_options import check_steps


@dataclass(frozen=True)
class DiffusionSampling:
    """Sampling options of a `DiffusionModel`.

    Attributes:
        sampler: solver of the reverse process.
        grid: time discretisation.
        steps: number of steps.
        path: path of the samples, any with the same signal-to-noise ratios; None: the model's.
        bounds: range of the data, to which the denoiser's output is clipped.
        guide: guidance of the denoiser; its own networks, if any, are trained with the model.
    """

    sampler: Sampler = field(default_factory=Heun)
    grid: Grid = field(default_factory=PowerSchedule)
    steps: int = 50
    path: Path | None = None
    bounds: tuple[float, float] | None = None
    guide: Guide | None = None

    def __post_init__(self):
        check_steps(self)


@dataclass(frozen=True)
class FewStepSampling:
    """Sampling options of one-step and few-step models.

    Attributes:
        steps: network evaluations per sample.
    """

    steps: int = 1

    def __post_init__(self):
        check_steps(self)


@dataclass(frozen=True)
class DiscreteSampling(GuidedSampling):
    """Sampling options of a `DiscreteDiffusion` and an `MDLM`.

    Attributes:
        sampler: sampler of the reverse process, such as `DiscreteAncestral` or `Confidence`.
        steps: network evaluations per sample.
    """

    sampler: Sampler = field(default_factory=DiscreteAncestral)
    steps: int = 64

    def __post_init__(self):
        check_steps(self)


@dataclass(frozen=True)
class MaskGITSampling(GuidedSampling):
    """Sampling options of a `MaskGIT`.

    Attributes:
        steps: network evaluations per sample.
        choice_temperature: initial scale of the Gumbel noise on the confidence, at least 0; it is
            annealed to 0 over the steps.
    """

    steps: int = 12
    choice_temperature: float = 4.5

    def __post_init__(self):
        check_steps(self)
        check_number('MaskGITSampling.choice_temperature', self.choice_temperature)
