"""A perceptron of the pixels before each pixel, within a window."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.layers import activation_function


class CausalWindow(Conditional):
    """One perceptron for all pixels, of the `radius` rows above within `radius` columns, and the
    `radius` pixels to the left: a network for a `PixelCNN` of local structure. On a CPU its
    products take a quarter of the time of the narrow convolutions of a `GatedPixelCNN` with three
    layers. A linear map of the condition is added to the first hidden units.

    Attributes:
        shape: (height, width, outputs of a pixel).
        radius: of the window.
        features: widths of the hidden layers.
        activation: a name in `jax.nn`.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    radius: int = 3
    features: tuple[int, ...] = (64, 64)
    activation: str = 'silu'
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        """Maps [B, H, W, C] to [B, *shape], float32; outputs do not see their own pixel. Raises a
        UserError if the condition is missing.
        """
        radius, act = self.radius, activation_function(self.activation)
        height, width = x.shape[1:3]
        vector = self.condition_vector(condition, null=True)
        # A channel of ones distinguishes padding from zeros in the data.
        x = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (radius, 0), (radius, radius), (0, 0)))
        above = [(row, column) for row in range(radius) for column in range(2 * radius + 1)]
        left = [(radius, column) for column in range(radius)]
        h = jnp.concatenate(
            [x[:, row : row + height, column : column + width] for row, column in above + left],
            axis=-1,
        )
        for layer, size in enumerate(self.features):
            h = nn.Dense(size, dtype=self.dtype, name=f'layer_{layer}')(h)
            if layer == 0 and vector is not None:
                dense = nn.Dense(size, use_bias=False, dtype=self.dtype, name='condition')
                h = h + dense(vector)[:, None, None]
            h = act(h)
        self.sow('intermediates', 'features', h)
        return nn.Dense(self.shape[-1], dtype='float32', name='out')(h.astype(jnp.float32))
