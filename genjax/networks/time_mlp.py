"""A denoiser of vectors: residual layers that are told the time."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.embedding import LabelEmbedding, TimeEmbedding
from genjax.networks.layers import Dropout, activation_function


class TimeMLP(nn.Module):
    """Residual blocks of two linear layers, between which time and label are added.

    The last layer starts at zero.

    Attributes:
        shape: of one example.
        features: width of the residual stream and of the blocks.
        num_layers: blocks.
        activation: a name in `jax.nn` or a function.
        frequencies: sines and cosines of the inputs at each of these angular frequencies are
            appended to them, so that fine detail is learned sooner (Tancik et al., 2020).
        num_classes: when given, the network takes a label, of which `num_classes` means "none".
        time_scale: of the time embedding; None: as the model that uses the network needs it, 1000
            if it asks for none.
        dropout: share of the units that training drops inside each block.
        dtype: what it computes in; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: int = 128
    num_layers: int = 3
    activation: str | Callable = 'silu'
    frequencies: tuple[float, ...] = ()
    num_classes: int | None = None
    time_scale: float | None = None
    dropout: float = 0.0
    dtype: str = 'float32'

    @nn.compact
    def __call__(
        self, x: Array, time: Array, label: Array | None = None, train: bool = False
    ) -> Array:
        """Maps x [B, *shape] at `time` [B] or [B, K] to [B, *shape], float32.

        Args:
            x: noisy data.
            time: of each example; K times each for networks between two times.
            label: int32 [B], when there are classes.
            train: drop units.

        Raises:
            UserError: labels are missing.
        """
        act = activation_function(self.activation)

        def dense(name: str) -> nn.Dense:
            return nn.Dense(self.features, dtype=self.dtype, name=name)

        embed = TimeEmbedding(self.features, self.time_scale, dtype=self.dtype, name='time')
        condition = embed(time)
        if self.num_classes is not None:
            embed = LabelEmbedding(self.num_classes, self.features, self.dtype, name='label')
            condition = condition + embed(label)
        condition = act(condition)

        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        waves = [wave(w * x) for w in self.frequencies for wave in (jnp.sin, jnp.cos)]
        x = dense('input')(jnp.concatenate([x, *waves], axis=-1))
        for layer in range(self.num_layers):
            h = dense(f'block_{layer}_in')(act(x)) + dense(f'block_{layer}_condition')(condition)
            h = Dropout(self.dropout, deterministic=not train)(act(h))
            x = x + dense(f'block_{layer}_out')(h)
        x = act(x).astype(jnp.float32)
        x = nn.Dense(math.prod(self.shape), kernel_init=nn.initializers.zeros, name='output')(x)
        return x.reshape(-1, *self.shape)
