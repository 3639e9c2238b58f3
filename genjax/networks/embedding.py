"""What denoisers are told beside the noisy data: the time, and a label or none."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError


def sinusoids(time: Array, width: int, freq_shift: float = 0.0) -> Array:
    """Cosines and sines of `time` at frequencies that fall from 1 to about 1e-4 (Vaswani et al.,
    2017): for i < width / 2 the i-th frequency is 10000^(-i / (width / 2 - freq_shift)).

    Args:
        time: [...], float.
        width: of the result; even.
        freq_shift: 1 makes the last frequency 1e-4 exactly, as DDPM (Ho et al., 2020) has it.

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
    """Times to vectors: sinusoids, then Dense, SiLU, Dense (Ho et al., 2020).

    Attributes:
        features: width of the vectors and of the hidden layer.
        scale: the sinusoids are those of scale · time; 1000, which None means, makes a time in
            [0, 1] what an integer step of 0 to 1000 is to a network of the literature.
        sinusoids: how many there are of each time; even.
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
    """Labels to vectors, one of which stands for "no label": the one of index `num_classes`.

    Attributes:
        num_classes: how many labels there are.
        features: width of the vectors.
        dtype: of the result; the table is float32.
    """

    num_classes: int
    features: int
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, label: Array | None) -> Array:
        """Maps int32 [B] in 0 to `num_classes` to [B, features].

        Raises:
            UserError: there is no label.
        """
        if label is None:
            raise UserError(
                f'a network with num_classes={self.num_classes} needs labels, and there are none; '
                f'the label {self.num_classes} stands for no label'
            )
        normal = nn.initializers.normal(0.02)
        table = nn.Embed(
            self.num_classes + 1, self.features, embedding_init=normal, dtype=self.dtype
        )
        return table(label)
