"""Networks with a condition: a class label or a context."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError


def condition_vector(condition: Array, features: int, *, null: bool = False) -> Array:
    """Encodes a condition as a vector [B, features], float32.

    Args:
        condition: labels int [B], which become one-hot, or floats [B, ...], which are flattened.
        features: number of classes, or of elements of a context.
        null: append one more feature, which is 1 for the null condition and 0 otherwise. Its label
            is `features`; floats may have it, too.

    Raises:
        UserError: floats of another number of features.
    """
    size = features + null
    if condition.ndim == 1 and jnp.issubdtype(condition.dtype, jnp.integer):
        return jax.nn.one_hot(condition, size)
    vector = condition.reshape(len(condition), -1).astype(jnp.float32)
    missing = size - vector.shape[-1]
    if missing not in (0, int(null)):
        raise UserError(
            f'a network with conditions of {features} features was given {vector.shape[-1]}'
        )
    return jnp.pad(vector, ((0, 0), (0, missing))) if missing else vector


class Conditional(nn.Module, kw_only=True):
    """Base class of networks with an optional condition, the argument after their other inputs.

    It is a label int32 [B], or floats: a context [B, *context_shape], or the vector [B, F] that
    models pass, a one-hot label or a flattened context.

    Attributes:
        num_classes: number of classes, for a network that takes a label.
        context_shape: shape of one context, for a network that takes a context.
    """

    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None

    @property
    def condition_features(self) -> int | None:
        """F, the number of classes or of elements of a context; None without a condition."""
        if self.num_classes is not None:
            return self.num_classes
        return None if self.context_shape is None else math.prod(self.context_shape)

    def condition_vector(self, condition: Array | None, *, null: bool = False) -> Array | None:
        """Returns the condition as `condition_vector` does, None for a network without one.

        Raises:
            UserError: there is no condition, or it has another number of features.
        """
        if self.condition_features is None:
            return None
        if condition is None:
            needs = f'context_shape={self.context_shape} needs a context, and there is none'
            if self.num_classes is not None:
                needs = f'num_classes={self.num_classes} needs labels, and there are none'
                needs += f'; the label {self.num_classes} stands for no label' if null else ''
            raise UserError(f'a network with {needs}')
        return condition_vector(condition, self.condition_features, null=null)
