"""Embeddings of time and condition for denoisers."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.conditional import condition_vector


def sinusoids(time: Array, width: int, freq_shift: float = 0.0) -> Array:
    """Computes cosines and sines of `time` at frequencies from 1 to about 1e-4 (Vaswani et al.,
    2017): for i < width / 2 the i-th frequency is 10000^(-i / (width / 2 - freq_shift)).

    Args:
        time: [...], float.
        width: of the result; even.
        freq_shift: 1 makes the last frequency exactly 1e-4, as in DDPM (Ho et al., 2020).

    Returns:
        [..., width]: all cosines, then all sines, float32.

    Raises:
        UserError: an odd width.
    """
    if width % 2:
        raise UserError(f'sinusoids come in pairs: their width must be even, not {width}')
    exponent = jnp.arange(width // 2, dtype=jnp.float32) / (width // 2 - freq_shift)
    angle = time.astype(jnp.float32)[..., None] * 10_000.0**-exponent
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


class TimeEmbedding(nn.Module):
    """Time embedding: sinusoids, then Dense, SiLU, Dense (Ho et al., 2020).

    Attributes:
        features: width of the embedding and of the hidden layer.
        scale: factor on the time before the sinusoids. None means 1000, which maps times in [0, 1]
            to the integer steps 0 to 1000 of the literature.
        sinusoids: number of sinusoids per time; even.
        freq_shift: of the frequencies, see `sinusoids`.
        kernel_init: of the layers.
        dtype: computation dtype; parameters and sinusoids are float32.
    """

    features: int
    scale: float | None = None
    sinusoids: int = 256
    freq_shift: float = 0.0
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, time: Array) -> Array:
        """Maps times [B], or [B, K] of K times each, to [B, features].

        Raises:
            UserError: an odd number of sinusoids.
        """
        scale = 1000.0 if self.scale is None else self.scale
        time = scale * time.astype(jnp.float32).reshape(time.shape[0], -1)
        waves = sinusoids(time, self.sinusoids, self.freq_shift).reshape(time.shape[0], -1)
        h = nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype)(
            waves.astype(self.dtype)
        )
        return nn.Dense(self.features, kernel_init=self.kernel_init, dtype=self.dtype)(
            jax.nn.silu(h)
        )


class LabelEmbedding(nn.Module):
    """Embedding of a label or context, with a row for the null condition.

    Attributes:
        num_classes: number of classes, or of elements of a context, without the null condition.
        features: width of the embedding.
        dtype: of the result; the table is float32.
    """

    num_classes: int
    features: int
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, condition: Array) -> Array:
        """Maps labels int32 [B] in 0 to `num_classes`, or floats [B, num_classes (+ 1)], to
        [B, features].
        """
        normal = nn.initializers.normal(0.02)
        table = nn.Embed(self.num_classes + 1, self.features, embedding_init=normal)
        vector = condition_vector(condition, self.num_classes, null=True)
        # In full precision, the product with a one-hot vector is a row of the table.
        return jnp.dot(vector, table.embedding, precision='highest').astype(self.dtype)
