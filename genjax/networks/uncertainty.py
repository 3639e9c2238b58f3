"""The logarithm of an error as a function of time."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array


class TimeUncertainty(nn.Module):
    """A linear function of random Fourier features of the time, 0 at first: u(σ) of EDM2 (Karras et
    al., 2024, appendix B).

    Attributes:
        features: number of Fourier features, of normal frequencies and uniform phases.
    """

    features: int = 128

    @nn.compact
    def __call__(self, time: Array) -> Array:
        """Maps times [B] to [B], float32."""
        random = np.random.default_rng(0)
        frequencies = random.standard_normal(self.features).astype(np.float32)
        phases = random.uniform(size=self.features).astype(np.float32)
        waves = jnp.cos(2.0 * jnp.pi * (time[:, None] * frequencies + phases))
        out = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name='output')
        return out(jnp.sqrt(2.0) * waves)[:, 0]
