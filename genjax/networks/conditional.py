"""Networks with a condition: a class label or a context."""

import math
from typing import NamedTuple

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


class Parts(NamedTuple):
    """A condition as denoisers of images take it, with the feature of the null condition last. At
    most one is not None.

    Attributes:
        vector: [B, F + 1].
        tokens: [B, T, D + 1].
        channels: [B, H, W, C + 1].
    """

    vector: Array | None = None
    tokens: Array | None = None
    channels: Array | None = None


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

    def condition_parts(self, condition: Array | None, sides: tuple[int, ...]) -> Parts:
        """Returns the condition of a denoiser of images [*sides, channels]: contexts [T, D] are
        tokens, contexts [H, W, C] are channels of the image, all others are vectors.

        Raises:
            UserError: the errors of `condition_vector`; or channels are not of the image's size.
        """
        vector = self.condition_vector(condition, null=True)
        rank = 0 if self.num_classes is not None else len(self.context_shape or ())
        if vector is None or rank not in (2, 3):
            return Parts(vector)
        if rank == 3 and tuple(self.context_shape[:2]) != tuple(sides):
            raise UserError(
                f'{type(self).__name__}.context_shape={tuple(self.context_shape)}: a context [H, W,'
                f' C] becomes channels of the image, whose sides are {tuple(sides)}'
            )
        null = vector[:, -1].reshape(-1, *(1,) * rank)
        context = vector[:, :-1].reshape(-1, *self.context_shape)
        parts = jnp.concatenate([context, jnp.broadcast_to(null, (*context.shape[:-1], 1))], -1)
        return Parts(tokens=parts) if rank == 2 else Parts(channels=parts)
