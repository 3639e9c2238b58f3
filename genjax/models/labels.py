"""Helpers for optional class conditioning.

A class-conditional model has the field `num_classes`; None makes it unconditional. A network that
takes a label has the field `num_classes` too, and takes the label as its second argument.
"""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models.base import Batch


def with_classes(network: nn.Module, num_classes: int | None) -> nn.Module:
    """Sets the network's `num_classes`, so that it takes a label, unless that is None."""
    return network if num_classes is None else network.clone(num_classes=num_classes)


def check_takes_labels(model: Any, **networks: nn.Module) -> None:
    """Raises a UserError unless each network, named by its role, can take the model's labels."""
    for role, network in networks.items():
        if model.num_classes is not None and not hasattr(network, 'num_classes'):
            names = type(model).__name__, role, type(network).__name__
            raise UserError('{}.num_classes: the {} {} has no field num_classes'.format(*names))


def of_batch(model: Any, batch: Batch) -> tuple[Array, ...]:
    """Returns the batch's labels as extra network arguments: (label,), or () without classes.

    Raises:
        UserError: the model has classes and the data have no labels.
    """
    if model.num_classes is None:
        return ()
    if 'label' not in batch:
        name = type(model).__name__
        raise UserError(f'{name}.num_classes={model.num_classes}, and the data have no labels')
    return (batch['label'],)


def sampled_labels(model: Any, key: Array, num: int, label: Array | None) -> tuple[Array, ...]:
    """Returns the labels [num] to sample as extra network arguments; draws them uniformly if None.

    Raises:
        UserError: a label for a model without classes, or one outside 0..num_classes-1. Models
            with label dropout also take `num_classes`, the null label.
    """
    if model.num_classes is None:
        if label is None:
            return ()
        name = type(model).__name__
        raise UserError(
            f'this {name} learned no labels ({name}.num_classes is not set): sample without one'
        )
    if label is None:
        return (jax.random.randint(key, (num,), 0, model.num_classes),)
    if not isinstance(label, jax.core.Tracer):
        largest = model.num_classes - (not hasattr(model, 'label_dropout'))
        wrong = [
            value for value in np.ravel(jax.device_get(label)).tolist() if not 0 <= value <= largest
        ]
        if wrong:
            raise UserError(
                f'label={wrong[0]} is not one of the {model.num_classes} classes'
                f' 0..{model.num_classes - 1}'
            )
    return (label,)


def refuse_label(model: Any, label: Array | None) -> None:
    """Raises a UserError when a model without classes is given a label to sample."""
    if label is not None:
        raise UserError(f'a {type(model).__name__} learns no labels: sample without one')
