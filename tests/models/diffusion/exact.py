"""The diffusion model whose network is the exact denoiser of the mixture."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.models.diffusion import EDM, DiffusionModel
from tests.models.diffusion.gaussians import denoiser


class Exact(nn.Module):
    """The network that says what the exact denoiser of the mixture does."""

    along: object = None
    parameterisation: object = None
    shape: tuple = (2,)
    num_classes: int | None = None

    def __call__(self, x, time, condition=None):
        t = time[:, None]
        if isinstance(self.parameterisation, EDM):
            t = self.along.time(-8.0 * t)
        x = x / self.parameterisation.input_scale(self.along, t)
        prediction = denoiser(self.along)(x, t)
        if condition is not None:
            label = jnp.argmax(condition, axis=-1)
            parts = [denoiser(self.along, k)(x, t) for k in range(3)]
            of_label = jax.tree.map(
                lambda *a: jnp.stack(a)[jnp.minimum(label, 2), jnp.arange(len(x))], *parts
            )
            none = (label == 3)[:, None]
            prediction = jax.tree.map(lambda a, b: jnp.where(none, a, b), prediction, of_label)
        a, b = self.parameterisation.target(self.along, t)
        return a * prediction.data + b * prediction.noise


def exact_model(path, parameterisation, **fields):
    return DiffusionModel(Exact(path, parameterisation), path, parameterisation, **fields)


VARIABLES = {'params': {'network': {}}, 'state': {}}
