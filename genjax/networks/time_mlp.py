"""A denoiser of vectors: a residual MLP conditioned on time and, optionally, label or context."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.embedding import LabelEmbedding, TimeEmbedding
from genjax.networks.layers import Dropout, activation_function


class TimeMLP(Conditional):
    """Residual blocks of two linear layers, with time and condition added in between.

    The last layer is zero-initialised.

    Attributes:
        shape: of one example.
        features: width of the residual stream and of the blocks.
        num_layers: number of blocks.
        activation: a name in `jax.nn` or a function.
        frequencies: angular frequencies of sines and cosines appended to the inputs, to learn
            fine detail faster (Tancik et al., 2020).
        time_scale: scale of the time embedding; None: chosen by the model, otherwise 1000.
        dropout: dropout rate inside each block.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 128
    num_layers: int = 3
    activation: str | Callable = 'silu'
    frequencies: tuple[float, ...] = ()
    time_scale: float | None = None
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(
        self, x: Array, time: Array, condition: Array | None = None, train: bool = False
    ) -> Array:
        """Maps x [B, *shape] at `time` [B] or [B, K] to [B, *shape], float32.

        Args:
            x: noisy data.
            time: time of each example, or K times each, as for mean velocities.
            condition: label or context (see `Conditional`); the label `num_classes` is the null
                label.
            train: apply dropout.

        Raises:
            UserError: the condition is missing.
        """
        act = activation_function(self.activation)

        def dense(name: str) -> nn.Dense:
            return nn.Dense(self.features, dtype=self.dtype, name=name)

        embed = TimeEmbedding(self.features, self.time_scale, dtype=self.dtype, name='time')
        embedding = embed(time)
        if (vector := self.condition_vector(condition, null=True)) is not None:
            embed = LabelEmbedding(self.condition_features, self.features, self.dtype, name='label')
            embedding = embedding + embed(vector)
        embedding = act(embedding)

        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        waves = [wave(w * x) for w in self.frequencies for wave in (jnp.sin, jnp.cos)]
        x = dense('input')(jnp.concatenate([x, *waves], axis=-1))
        for layer in range(self.num_layers):
            h = dense(f'block_{layer}_in')(act(x)) + dense(f'block_{layer}_condition')(embedding)
            h = Dropout(self.dropout, deterministic=not train)(act(h))
            x = x + dense(f'block_{layer}_out')(h)
        x = act(x).astype(jnp.float32)
        self.sow('intermediates', 'features', x)
        x = nn.Dense(math.prod(self.shape), kernel_init=nn.initializers.zeros, name='output')(x)
        return x.reshape(-1, *self.shape)
