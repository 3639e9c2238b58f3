"""The experiment: a complete description of one run."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from genjax import records
from genjax.config import build
from genjax.data.preprocessing import Chain
from genjax.data.standardise import measuring
from genjax.errors import UserError, nearest
from genjax.evaluation.base import Evaluator
from genjax.models.base import Phase
from genjax.schedules import at_step
from genjax.training.contract import check_evaluator, check_parts, preprocessed
from genjax.training.frozen import check_patterns
from genjax.training.groups import Checkpointing, Evals, Execution, Logging, Training
from genjax.training.start import Start

_LEAST = {
    'batch_size': 1,
    'accumulate': 1,
    'steps_per_call': 1,
    'log_every': 1,
    'checkpoint_every': 0,
    'keep': 1,
    'keep_every': 0,
    'sample_every': 0,
    'num_samples': 1,
    'norms': 0,
}


@dataclass(frozen=True, kw_only=True)
class Experiment(Execution, Logging, Checkpointing, Evals, Training):
    """A run: data, model and optimizers, and how to train, evaluate, save, log and execute it.

    The fields are those of its groups, `Training`, `Evals`, `Checkpointing`, `Logging` and
    `Execution`.
    """

    def __post_init__(self):
        if not isinstance(self.preprocess, Chain):
            name = type(self.preprocess).__name__
            raise ValueError(f'preprocess must be a Chain of steps, such as {name}, not one itself')
        # Its steps may need the data, later.
        object.__setattr__(self, 'preprocess', measuring(self.preprocess, self.dataset))
        model = at_step(self.model, 0)
        phases = check_parts(self.dataset, model, self.optimizer)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f'{name} must be at least {least}, not {value}')
        if not self.start and self.steps < 1:
            raise ValueError(f'steps must be at least 1, not {self.steps}, without a start')
        if isinstance(self.clip_norm, int | float) and self.clip_norm <= 0:
            raise ValueError(f'clip_norm must be positive, not {self.clip_norm}')
        if not all(0 <= decay < 1 for decay in self.ema if isinstance(decay, int | float)):
            raise ValueError(f'ema={self.ema}: a decay is at least 0 and less than 1')
        if self.profile and not 0 <= self.profile[0] < self.profile[1]:
            raise ValueError(f'profile={self.profile} is not a first and a later last step')
        if wrong := [each for each in self.start if not isinstance(each, Start)]:
            raise ValueError(f'start: {wrong[0]!r} is not a Start')
        check_patterns('frozen', self.frozen)
        self._check_evals(phases)
        for name, value, divisor in (
            ('batch_size', self.batch_size, 'accumulate'),
            ('steps', self.steps, 'steps_per_call'),
            ('checkpoint_every', self.checkpoint_every, 'steps_per_call'),
            *((('keep_every', self.keep_every, 'checkpoint_every'),) if self.keep_every else ()),
            ('sample_every', self.sample_every, 'steps_per_call'),
            *((f'evals.{n}.every', e.every, 'steps_per_call') for n, e in self.evals.items()),
        ):
            if value % (by := getattr(self, divisor) or 1):
                raise ValueError(f'{name}={value} is not a multiple of {divisor}={by}')
        if isinstance(self.optimizer, Mapping):
            for name in [*self.optimizer, *phases]:
                if name not in phases:
                    raise ValueError(
                        f'optimizer.{name}: the model has no such phase{nearest(name, phases)}'
                    )
                if name not in self.optimizer:
                    raise ValueError(f'optimizer has none for the phase {name!r} of the model')

    def _check_evals(self, phases: list[str]) -> None:
        for name, evaluator in self.evals.items():
            if not isinstance(evaluator, Evaluator):
                raise ValueError(
                    f'evals.{name}: a {type(evaluator).__name__} is not an Evaluator; derive its'
                    ' class from genjax.evaluation.Evaluator, or give FunctionEvaluator(function)'
                )
            if not re.fullmatch(r'\w[\w-]*', name) or name in ('best', 'validation', *phases):
                raise ValueError(
                    f'evals.{name}: the name of an eval is made of letters, digits, _ and -, and is'
                    f' none of {", ".join(("best", "validation", *phases))}, which name other'
                    ' metrics'
                )
            check_evaluator(evaluator)
            if evaluator.every < 0:
                raise ValueError(f'evals.{name}.every must be at least 0, not {evaluator.every}')
        if self.best is not None:
            name = self.best.partition('/')[0]
            if name not in self.evals:
                hint = nearest(name, self.evals)
                raise ValueError(f'best={self.best!r} is of no eval in evals{hint}')
            if not self.evals[name].every:
                raise ValueError(
                    f'best={self.best!r} needs an eval during training: set evals.{name}.every'
                )
        if self.patience is not None and not (self.best and self.patience >= 1):
            raise ValueError(f'patience={self.patience} must be at least 1 and needs best')

    @property
    def final_evals(self) -> dict[str, Evaluator]:
        """Evals of the best checkpoint at the end of the run."""
        return {name: e for name, e in self.evals.items() if not e.every}

    def evals_at(self, step: int, last: bool) -> dict[str, Evaluator]:
        """Evals after a training step; `last`: whether it is the last one."""
        return {n: e for n, e in self.evals.items() if e.every and (last or step % e.every == 0)}

    def keeps(self, step: int) -> bool:
        """Returns whether the checkpoint of this step is kept by `keep_every`."""
        return bool(self.keep_every) and step % self.keep_every == 0

    def optimizer_of(self, phase: Phase) -> optax.GradientTransformation:
        return self.optimizer[phase.name] if isinstance(self.optimizer, Mapping) else self.optimizer

    @property
    def calls(self) -> int:
        """Number of steps per call of the step program; 1 where it is left open."""
        return self.steps_per_call or 1

    @property
    def rows_per_step(self) -> int:
        """Number of examples per step."""
        return self.batch_size * max(phase.repeats for phase in at_step(self.model, 0).phases)

    def check_shapes(self, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        """Raises UserError if the model does not accept examples of the shape of batch `x`; returns
        the shape of the preprocessed batch.
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

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades the fields, as plain data, of an older config; see `genjax.records.upgrade`."""
        return records.upgrade(fields)


def experiment_of(config: ConfigDict) -> Experiment:
    """Builds the experiment of a config; raises UserError if the config is not of an experiment."""
    experiment = build(config)
    if not isinstance(experiment, Experiment):
        kind = type(experiment).__name__
        raise UserError(f'the config describes a {kind}, not an Experiment')
    return experiment
