"""Networks of `flax.nnx`."""

import math

import jax.numpy as jnp
from flax import nnx

from genjax.networks import condition_vector


class TimeNet(nnx.Module):
    """A denoiser with a list of layers, dropout and, if asked for, batch normalisation."""

    def __init__(
        self,
        shape: tuple[int, ...],
        features: int = 8,
        num_classes: int | None = None,
        context_shape: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        normalise: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        size = math.prod(shape)
        given = None if context_shape is None else math.prod(context_shape)
        self.condition_features = given if num_classes is None else num_classes
        more = 0 if self.condition_features is None else self.condition_features + 1
        inputs = size + 1 + more
        self.layers = nnx.List(
            [nnx.Linear(inputs, features, rngs=rngs), nnx.Linear(features, features, rngs=rngs)]
        )
        self.norm = nnx.BatchNorm(features, rngs=rngs) if normalise else None
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.output = nnx.Linear(features, size, rngs=rngs)

    def __call__(self, x, time, condition=None, train: bool = False):
        parts = [x.reshape(len(x), -1), time[:, None]]
        if self.condition_features is not None:
            parts.append(condition_vector(condition, self.condition_features, null=True))
        h = jnp.concatenate(parts, axis=-1)
        for layer in self.layers:
            h = jnp.tanh(layer(h))
        if self.norm is not None:
            h = self.norm(h, use_running_average=not train)
        h = self.dropout(h, deterministic=not train)
        self.sow(nnx.Intermediate, 'features', h)
        return self.output(h).reshape(x.shape)
