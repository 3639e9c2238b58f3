"""Optional conditions of models: class labels, or contexts of any shape.

A model with the field `num_classes` learns p(x | label), one with `context_shape` p(x | context).
Inside a model a condition is one array or None: float32 [B, F], a one-hot label or the flattened
context. So a model of the context `one_hot(label)` is the model of the label, bit for bit. Models
that also learn p(x) have the field `condition_dropout`; their null condition has one more feature,
which is 1, and zeros: [B, F + 1]. Networks take both (`genjax.networks.Conditional`).
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models.base import Batch


def check(model: Any, **networks: nn.Module) -> None:
    """Raises a UserError unless the model has at most one kind of condition, and each network,
    named by its role, can take it.
    """
    name, shape = type(model).__name__, model.context_shape
    if model.num_classes is not None and shape is not None:
        raise UserError(
            f'{name} has num_classes={model.num_classes} and context_shape={shape}: a condition is'
            ' a label or a context, set one of them'
        )
    if shape is not None and not all(isinstance(size, int) and size > 0 for size in shape):
        raise UserError(f'{name}.context_shape must be whole numbers from 1, not {shape}')
    for field in ('num_classes', 'context_shape'):
        for role, network in networks.items():
            if getattr(model, field) is not None and not hasattr(network, field):
                raise UserError(
                    f'{name}.{field}: the {role} {type(network).__name__} has no field {field}'
                )


def declared(part: Any) -> tuple[int | None, tuple[int, ...] | None]:
    """Returns `num_classes` and `context_shape` of a model, network or data set; None where it has
    no such attribute.
    """
    return getattr(part, 'num_classes', None), getattr(part, 'context_shape', None)


def is_conditional(part: Any) -> bool:
    """True for a model or network that takes a condition."""
    return declared(part) != (None, None)


def features(model: Any) -> int:
    """Number of features F of the model's condition."""
    return math.prod(model.context_shape) if model.num_classes is None else model.num_classes


def with_condition(network: nn.Module, model: Any) -> nn.Module:
    """Sets the network's `num_classes` or `context_shape` to that of the model, if it has one."""
    if model.num_classes is not None:
        return network.clone(num_classes=model.num_classes)
    if model.context_shape is not None:
        return network.clone(context_shape=model.context_shape)
    return network


def of_batch(model: Any, batch: Batch) -> Array | None:
    """Returns the condition of each example [B, F], zeros for the label -1; None for a model
    without conditions.

    Raises:
        UserError: the data do not have the label or context that the model takes.
    """
    name, (classes, shape) = type(model).__name__, declared(model)
    if classes is not None:
        if 'label' not in batch:
            raise UserError(f'{name}.num_classes={classes}, and the data have no labels')
        return jax.nn.one_hot(batch['label'], classes)
    if shape is None:
        return None
    if 'context' not in batch:
        raise UserError(f'{name}.context_shape={shape}, and the data have no context')
    return _flat(model, batch['context'])


def given(
    model: Any, label: Array | None, context: Array | None, *, needed: bool = True
) -> Array | None:
    """Returns the condition of a label int [B] or context [B, *context_shape] given by a caller,
    [B, F]; None if neither is given.

    Raises:
        UserError: the model does not take it, or it is not a class or of another shape; or a
            context is `needed`, and there is none. Models with `condition_dropout` also take the
            label `num_classes`, the null label.
    """
    name = type(model).__name__
    for value, kind, field in (
        (label, 'label', 'num_classes'), (context, 'context', 'context_shape')
    ):  # fmt: skip
        if value is not None and getattr(model, field) is None:
            raise UserError(
                f'this {name} learned no {kind}s ({name}.{field} is not set): leave the {kind} out'
            )
    if context is not None:
        return _flat(model, jnp.asarray(context))
    if label is None:
        if needed and model.context_shape is not None:
            raise UserError(f'a {name} of p(x | context) needs a context={_shape(model)}')
        return None
    has_null = hasattr(model, 'condition_dropout')
    if not isinstance(label, jax.core.Tracer):
        values = np.ravel(jax.device_get(label))
        wrong = values[(values < 0) | (values >= model.num_classes + has_null)]
        if wrong.size:
            raise UserError(
                f'label={wrong[0]} is not one of the {model.num_classes} classes'
                f' 0..{model.num_classes - 1}'
            )
    return jax.nn.one_hot(label, model.num_classes + has_null)


def to_sample(
    model: Any, key: Array, num: int, label: Array | None, context: Array | None
) -> Array | None:
    """Returns the condition [num, F] of `num` samples, None for a model without conditions; draws
    missing labels uniformly.

    Raises:
        UserError: the errors of `given`; or there is no context, or not one per sample.
    """
    condition = given(model, label, context)
    if condition is not None and len(condition) != num:
        kind = 'labels' if context is None else 'contexts'
        raise UserError(f'{num} samples need {num} {kind}, not {len(condition)}')
    if condition is not None or not is_conditional(model):
        return condition
    label = jax.random.randint(key, (num,), 0, model.num_classes)
    return jax.nn.one_hot(label, model.num_classes)


def each_class(model: Any, log_prob: Callable[[Array | None], Array], num: int) -> Array:
    """Computes log p(x | label) [B, num_classes, ...] of B = `num` examples, one label at a time;
    `log_prob` maps a condition [B, F] to [B, ...].
    """
    shape = num, model.num_classes
    each = jax.lax.map(lambda row: log_prob(jnp.broadcast_to(row, shape)), jnp.eye(shape[1]))
    return jnp.moveaxis(each, 0, 1)


def mixture(
    model: Any,
    log_prob: Callable[[Array | None], Array],
    num: int,
    label: Array | None,
    context: Array | None,
) -> Array:
    """Computes log p(x | label or context) [B] of B = `num` examples; without the label that a
    model takes, of the uniform mixture over classes. `log_prob` maps a condition [B, F] or None to
    [B]. Raises the errors of `given`.
    """
    condition = given(model, label, context)
    if condition is not None or model.num_classes is None:
        return log_prob(condition)
    each = each_class(model, log_prob, num)
    return jax.nn.logsumexp(each, axis=-1) - math.log(model.num_classes)


def given_or_likely(
    model: Any,
    log_prob: Callable[[Array | None], Array],
    num: int,
    label: Array | None,
    context: Array | None,
) -> Array | None:
    """Returns the condition of a label or context given by a caller, or the most likely class of
    each example, one-hot; see `mixture`.
    """
    condition = given(model, label, context)
    if condition is not None or model.num_classes is None:
        return condition
    likely = jnp.argmax(each_class(model, log_prob, num), axis=-1)
    return jax.nn.one_hot(likely, model.num_classes)


def split_code(
    model: Any, z: Array, label: Array | None, context: Array | None
) -> tuple[Array, Array | None]:
    """Splits a code [B, latent_dim + F] into z and the condition, for which a label or context
    given by a caller is substituted.
    """
    z, appended = jnp.split(z, [model.latent_dim], axis=-1)
    condition = given(model, label, context, needed=False)
    if condition is None and is_conditional(model):
        return z, appended
    return z, condition


def refuse(model: Any, label: Array | None, context: Array | None) -> None:
    """Raises a UserError when a model without conditions is given one."""
    for value, kind in ((label, 'label'), (context, 'context')):
        if value is not None:
            raise UserError(f'a {type(model).__name__} learns no {kind}s: leave the {kind} out')


def null(model: Any, num: int) -> Array | None:
    """Returns `num` null conditions [num, F + 1]; None for a model without conditions."""
    if not is_conditional(model):
        return None
    return jnp.zeros((num, features(model) + 1)).at[:, -1].set(1.0)


def with_null(model: Any, condition: Array) -> Array:
    """Appends the feature of the null condition, 0, to conditions without it: [B, F + 1]."""
    missing = features(model) + 1 - condition.shape[-1]
    return jnp.pad(condition, ((0, 0), (0, missing)))


def dropped(model: Any, key: Array, condition: Array, rate: Array | float) -> Array:
    """Replaces each condition by the null condition with probability `rate`: [B, F + 1]."""
    drop = jax.random.bernoulli(key, rate, condition.shape[:1])
    condition = with_null(model, condition)
    return jnp.where(drop[:, None], null(model, len(condition)), condition)


def _flat(model: Any, context: Array) -> Array:
    if context.shape[1:] != tuple(model.context_shape):
        raise UserError(
            f'{type(model).__name__}.context_shape={model.context_shape}: contexts are'
            f' {_shape(model)}, not {list(context.shape)}'
        )
    return context.reshape(len(context), -1).astype(jnp.float32)


def _shape(model: Any) -> str:
    return f'[{", ".join(map(str, ("N", *model.context_shape)))}]'


def paired(a: Array, b: Array) -> Array:
    """Interleaves a and b [B, ...] to [2 B, ...], for two passes in one batch: each row of a comes
    just before that of b, and so on the same device if rows are sharded.
    """
    return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])


def unpaired(pairs: Array) -> tuple[Array, Array]:
    """Splits [2 B, ...] into what was `paired`."""
    both = pairs.reshape(-1, 2, *pairs.shape[1:])
    return both[:, 0], both[:, 1]
