"""What every evaluator is given and gives back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.models.base import GenerativeModel, Variables

Figures = dict[str, float | str]


@dataclass(frozen=True)
class EvaluationData:
    """One split of a data set, ready to be read.

    Attributes:
        dataset: knows the shape of an example and, where they exist, labels and exact densities.
        split: its name, for the record.
        batches: (batch_size) -> every example of the split once, in order, on the device: 'x' as
            the data set has it, 'label' if there are labels, and 'mask', False where the last batch
            is padded.
        preprocess: maps data to what the model sees, with its log-determinant.
    """

    dataset: Any
    split: str
    batches: Callable[[int], Iterable[Mapping[str, Array]]]
    preprocess: Chain


class Evaluator(Protocol):
    """Judges a model; a frozen dataclass."""

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Figures:
        """Returns figures by name, and under some names what kind of figures these are."""


def require_density(evaluator: Any, data: EvaluationData) -> None:
    """Raises a UserError when the preprocessing hides the density of the data."""
    if data.preprocess.lossy:
        steps = ', '.join(type(step).__name__ for step in data.preprocess.steps)
        raise UserError(
            f'{type(evaluator).__name__} needs the density of the data, which cannot be had through'
            f' the preprocessing ({steps})'
        )


def require(evaluator: Any, model: Any, method: str) -> None:
    """Raises a UserError unless the model has the method that the evaluator needs."""
    if not callable(getattr(model, method, None)):
        names = type(evaluator).__name__, type(model).__name__
        raise UserError('{} cannot judge a {}: the model has no {}()'.format(*names, method))
