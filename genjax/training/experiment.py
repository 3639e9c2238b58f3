"""What a config file describes: one run, whole."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import jax
import optax
from ml_collections import ConfigDict

from genjax.config import build
from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset
from genjax.errors import UserError, nearest
from genjax.models.base import GenerativeModel, Phase
from genjax.parallel.sharding import MeshShape
from genjax.schedules import at_step
from genjax.training.contract import check_parts, preprocessed

DOES_NOT_CHANGE_TRAINING = frozenset(
    {
        'steps',
        'accumulate',
        'mesh',
        'ema_on_host',
        'steps_per_call',
        'log_every',
        'validate_every',
        'checkpoint_every',
        'keep',
        'best',
        'best_mode',
        'patience',
        'nonfinite',
        'sample_every',
        'num_samples',
        'validation',
        'test',
        'wandb',
        'profile',
    }
)
"""Fields that a resumed run may change: the parameters after step `s` do not depend on them (on
`nonfinite`, as long as all is finite, which it was up to any checkpoint under 'stop'; on
`accumulate`, but for the noise). Models, networks and data sets list theirs in an attribute,
`FREE: ClassVar = ('eval_samples',)`; what is trained within such a field they list in `TRAINED`.
"""


_LEAST = {
    'steps': 1,
    'batch_size': 1,
    'accumulate': 1,
    'steps_per_call': 1,
    'log_every': 1,
    'validate_every': 0,
    'checkpoint_every': 0,
    'keep': 1,
    'sample_every': 0,
    'num_samples': 1,
}


@dataclass(frozen=True)
class Experiment:
    """A run: data, model, optimizers, and how to train, watch and judge.

    Numbers that only enter the arithmetic of a step may be traced arrays.

    Attributes:
        dataset: where the examples come from.
        model: what is trained, of any family.
        optimizer: one optax optimizer for every phase of the model, or one each, by phase name.
        steps: how many steps to train.
        batch_size: examples per update, over all devices and micro-batches. A step reads this many
            for each of the `repeats` of the model's most repeated phase.
        preprocess: applied on the device, in training, sampling (inverted) and evaluation.
        seed: determines initial values, noise and the order of the data.
        clip_norm: largest global norm of a phase's gradient; larger ones are scaled down to it.
        accumulate: micro-batches per update; they bound memory and change nothing else but the
            noise and what examples of a batch share (batch normalisation, an optimal coupling).
        ema: decays of moving averages, once per step, of the parameters and of the batch statistics
            and other model state that goes with them; the first is sampled and evaluated. A decay
            can be `Scheduled`, and is at most (1 + step) / (10 + step).
        ema_on_host: keep the averages in the memory of the host, which each step fetches and sends
            back; the device has room for something else.
        nonfinite: 'stop' ends the run at a non-finite loss or gradient; 'skip' leaves out an update
            whose loss, gradient or outcome is not finite, and ends the run when a phase has had no
            other for `log_every` steps. A state that is not finite is never saved.
        mesh: how devices are arranged and what is sharded over them.
        steps_per_call: steps in one dispatch; more pays where a step takes less than about a
            millisecond.
        log_every: steps between progress lines and metric records.
        validate_every: steps between validations, each followed by a checkpoint; 0: never.
        validation: evaluators to run on the validation split then.
        best: the validation figure that names the best checkpoint, such as 'likelihood/nll'.
        best_mode: whether the best is the smallest or the largest.
        patience: the run ends early when its best figure has not become better in so many
            validations; None: never.
        checkpoint_every: steps between further checkpoints; 0: none. The last step is always kept.
        keep: how many of the latest checkpoints to keep, besides the best.
        sample_every: steps between pictures of samples and reconstructions; 0: at the end only.
        num_samples: how many samples a picture shows.
        test: evaluators to run on the test split, at the end and by `genjax evaluate`.
        wandb: Weights & Biases project to log to as well.
        profile: a profile for TensorBoard is written from the first of these steps to the second,
            in whole calls.
    """

    dataset: Dataset
    model: GenerativeModel
    optimizer: optax.GradientTransformation | Mapping[str, optax.GradientTransformation]
    steps: int
    batch_size: int
    preprocess: Chain = field(default_factory=Chain)
    seed: int = 0
    clip_norm: float | None = None
    accumulate: int = 1
    ema: tuple[float, ...] = ()
    ema_on_host: bool = False
    nonfinite: Literal['stop', 'skip'] = 'stop'
    mesh: MeshShape = field(default_factory=MeshShape)
    steps_per_call: int = 1
    log_every: int = 100
    validate_every: int = 0
    validation: tuple[Callable, ...] = ()
    best: str | None = None
    best_mode: Literal['min', 'max'] = 'min'
    patience: int | None = None
    checkpoint_every: int = 1000
    keep: int = 2
    sample_every: int = 0
    num_samples: int = 64
    test: tuple[Callable, ...] = ()
    wandb: str | None = None
    profile: tuple[int, int] | None = None

    FOLLOWED: ClassVar[tuple[str, ...]] = ('steps', 'batch_size')

    def __post_init__(self):
        """Refuses what no run can do."""
        if not isinstance(self.preprocess, Chain):
            name = type(self.preprocess).__name__
            raise ValueError(f'preprocess must be a Chain of steps, such as {name}, not one itself')
        evaluators = (*self.validation, *self.test)
        check_parts(self.dataset, at_step(self.model, 0), self.optimizer, evaluators)
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f'{name} must be at least {least}, not {getattr(self, name)}')
        if isinstance(self.clip_norm, int | float) and self.clip_norm <= 0:
            raise ValueError(f'clip_norm must be positive, not {self.clip_norm}')
        if not all(0 <= decay < 1 for decay in self.ema if isinstance(decay, int | float)):
            raise ValueError(f'ema={self.ema}: a decay is at least 0 and less than 1')
        if self.profile and not 0 <= self.profile[0] < self.profile[1]:
            raise ValueError(f'profile={self.profile} is not a first and a later last step')
        for name, divisor in (
            ('batch_size', 'accumulate'),
            ('steps', 'steps_per_call'),
            ('validate_every', 'steps_per_call'),
            ('checkpoint_every', 'steps_per_call'),
            ('sample_every', 'steps_per_call'),
        ):
            value, by = getattr(self, name), getattr(self, divisor)
            if value % by:
                raise ValueError(f'{name}={value} is not a multiple of {divisor}={by}')
        for name in ('validation', 'test'):
            for evaluator in getattr(self, name):
                if not callable(evaluator):
                    raise ValueError(f'{name}: {evaluator!r} is not an evaluator')
        if self.best and not (self.validate_every and self.validation):
            raise ValueError(f'best={self.best!r} needs validation and validate_every')
        names = [type(evaluator).__name__.lower() for evaluator in self.validation]
        if self.best and self.best.partition('/')[0] not in names:
            hint = nearest(self.best.partition('/')[0], names)
            raise ValueError(f'best={self.best!r} is of no evaluator in validation{hint}')
        if self.patience is not None and not (self.best and self.patience >= 1):
            raise ValueError(f'patience={self.patience} must be at least 1 and needs best')
        if isinstance(self.optimizer, Mapping):
            phases = [phase.name for phase in at_step(self.model, 0).phases]
            for name in [*self.optimizer, *phases]:
                if name not in phases:
                    raise ValueError(
                        f'optimizer.{name}: the model has no such phase{nearest(name, phases)}'
                    )
                if name not in self.optimizer:
                    raise ValueError(f'optimizer has none for the phase {name!r} of the model')

    def optimizer_of(self, phase: Phase) -> optax.GradientTransformation:
        """The optimizer of one phase."""
        return self.optimizer[phase.name] if isinstance(self.optimizer, Mapping) else self.optimizer

    @property
    def rows_per_step(self) -> int:
        """Examples that one step reads."""
        return self.batch_size * max(phase.repeats for phase in at_step(self.model, 0).phases)

    def check_shapes(self, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Refuses a model made for examples of another shape than those of the batch `x`, which it
        returns preprocessed.
        """
        y, _ = jax.eval_shape(
            functools.partial(preprocessed, self.preprocess), x, jax.random.key(0)
        )
        expected = tuple(getattr(self.model, 'event_shape', y.shape[1:]))
        if expected != y.shape[1:]:
            raise UserError(
                f'the model is made for examples of shape {expected}, the data have {y.shape[1:]}'
            )
        return y


def experiment_of(config: ConfigDict) -> Experiment:
    """Builds the experiment that a config describes; raises UserError when it describes none."""
    experiment = build(config)
    if not isinstance(experiment, Experiment):
        kind = type(experiment).__name__
        raise UserError(f'the config describes a {kind}, not an Experiment')
    return experiment
