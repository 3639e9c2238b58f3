"""Conditions of the examples that evaluators score."""

from collections.abc import Callable, Mapping
from typing import Any

from jax import Array

from genjax.errors import UserError
from genjax.models.base import CONDITIONS


def scored_conditions(
    model: Any, batch: Mapping[str, Array], given_label: bool = False
) -> dict[str, Array]:
    """Returns the arguments of `log_prob`, `encode` or `features` that condition on a batch, by
    name: the contexts of a model that takes them, and the labels if they are to be given.

    Raises:
        UserError: labels are to be given, and the model has no classes; or the batch has none.
    """
    name, given = type(model).__name__, {}
    for condition in ('context', *(('label',) if given_label else ())):
        stated = getattr(model, CONDITIONS[condition], None)
        if stated is not None and condition not in batch:
            field = f'{CONDITIONS[condition]}={stated}'
            raise UserError(
                f'a {name} with {field} is scored given the {condition}s of the data, which have'
                ' none'
            )
        if stated is not None:
            given[condition] = batch[condition]
        elif condition == 'label':
            raise UserError(f'given_label=True: this {name} has no classes')
    return given


def condition_protocol(model: Any, given_label: bool) -> list[str]:
    """Parts of a protocol on the conditions; none for log p(x)."""
    if getattr(model, CONDITIONS['context'], None) is not None:
        return ['contexts given']
    return ['labels given'] if given_label else []


def data_density(evaluator: Any, dataset: Any) -> Callable[[Array], Array]:
    """Returns the exact log-density of the data, x [B, *event] to nats [B].

    Raises:
        UserError: it is not known, or there is one for each context.
    """
    name, needed_by = type(dataset).__name__, type(evaluator).__name__
    if not hasattr(dataset, 'log_prob'):
        raise UserError(
            f'{needed_by} needs data of known density (Density, Gaussians, WorldPoints), not {name}'
        )
    if getattr(dataset, CONDITIONS['context'], None) is not None:
        raise UserError(
            f'{needed_by} needs one density of the data; {name} has one for each context'
        )
    return dataset.log_prob
