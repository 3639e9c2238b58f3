"""The contract of evaluators."""

import abc
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.models.base import GenerativeModel, LogProb, Variables
from genjax.parallel.host import fetch

Results = dict[str, float | str]

Split = Literal['train', 'validation', 'test']


@dataclass(frozen=True)
class EvaluationData:
    """One split of a data set, ready to read.

    Attributes:
        dataset: the data set, with the shape of an example and, if known, labels and exact
            densities.
        split: name of the split, for records.
        batches: (batch_size) -> every example of the split once, in order, on the device: 'x' as in
            the data set, 'label' if there are labels, and 'mask', False for padding in the last
            batch.
        preprocess: maps data to the model's input, with its log-determinant.
        seed: seed of samples, equal to those of `genjax sample --seed`.
        shared: what evaluators of the same model keep for each other, such as features of samples.
    """

    dataset: Any = field(hash=False)
    split: str
    batches: Callable[[int], Iterable[Mapping[str, Array]]] = field(compare=False)
    preprocess: Chain
    seed: int = 0
    shared: dict[Any, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class Evaluator(abc.ABC):
    """A metric of a model on a split of the data. Subclasses are frozen dataclasses.

    Attributes:
        split: the split to evaluate on.
        every: period in training steps (also evaluated at the last step); 0: once, at the end of
            the run, on its best checkpoint.
    """

    split: Split = 'test'
    every: int = 0

    @abc.abstractmethod
    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model.

        Args:
            model: the model.
            variables: its parameters and state.
            data: the split.
            key: PRNG key.

        Returns:
            Numbers by name, the first of which is the default for `Experiment.best`, and texts,
            such as the 'kind' of a number or the 'protocol' of the evaluation.
        """


@dataclass(frozen=True)
class FunctionEvaluator(Evaluator):
    """Wraps a function, or a callable that is not an `Evaluator`.

    Attributes:
        function: `(model, variables, data, key) -> results`, as `Evaluator.__call__`.
    """

    function: Callable

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        return self.function(model, variables, data, key)


def require_density(evaluator: Any, data: EvaluationData) -> None:
    """Raises UserError if the density of the data is unknown after preprocessing."""
    if data.preprocess.lossy:
        steps = ', '.join(type(step).__name__ for step in data.preprocess.steps)
        raise UserError(
            f'{type(evaluator).__name__} needs the density of the data, which cannot be had through'
            f' the preprocessing ({steps})'
        )


NO_LIKELIHOOD = 'density of discrete data, no likelihood without Dequantise'
_FEW_VALUES = 256  # as many as 8-bit pixels have


def kind_of(result: LogProb, preprocess: Chain, batch: Mapping[str, Array]) -> str:
    """Kind of a log-probability of the data: that of the model's `result`, 'lower_bound' if the
    preprocessing makes it one, or 'density' for a density of discrete data. The latter is not a
    likelihood: narrow peaks at the discrete values make it arbitrarily large (Theis, van den Oord &
    Bethge, 2016). `Dequantise` turns it into a bound.

    Data are discrete if they are integers, or floats with at most 256 values in a batch. The model
    has a density if its result is one, or if a step rescales the data, as `Scale` does.

    Args:
        result: output of the model's `log_prob`; only its kind is used.
        preprocess: maps the data to the model's input.
        batch: a batch of the data.
    """
    if preprocess.bound:
        return 'lower_bound' if result.kind == 'exact' else result.kind
    x = fetch(batch['x'])[fetch(batch['mask'])]
    few = min(_FEW_VALUES, x.size // 2)
    if not np.issubdtype(x.dtype, np.integer) and len(np.unique(x)) > few:
        return result.kind
    with jax.transfer_guard('allow'):
        return 'density' if result.density or _rescales(preprocess, x[:1]) else result.kind


@functools.partial(jax.jit, static_argnums=0)
def _rescales(preprocess: Chain, x: Array) -> Array:
    return preprocess(x, jax.random.key(0))[1][0] != 0


def require(evaluator: Any, model: Any, method: str) -> None:
    """Raises UserError unless the model has the method that the evaluator needs."""
    if not callable(getattr(model, method, None)):
        names = type(evaluator).__name__, type(model).__name__
        raise UserError('{} cannot judge a {}: the model has no {}()'.format(*names, method))
