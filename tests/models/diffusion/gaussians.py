"""A mixture of Gaussians, whose noisy densities, denoisers and likelihoods are known."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models.diffusion import Prediction

MEANS = np.array([[1.0, 0.5], [-1.0, 0.0], [0.3, -1.2]], np.float32)
SCALE = 0.4


def log_prob_of_parts(x, alpha=1.0, sigma=0.0):
    """log p(x_t, part) in nats, [B, K]; alpha and sigma [] or [B, 1]."""
    alpha, sigma = jnp.asarray(alpha), jnp.asarray(sigma)
    variance = (alpha * SCALE) ** 2 + sigma**2
    squares = jnp.sum((x[:, None] - alpha[..., None] * MEANS) ** 2, axis=-1)
    normal = -0.5 * squares / variance - jnp.log(2 * jnp.pi * variance)
    return normal - np.log(len(MEANS))


def log_prob(x):
    """log p(x) in nats, [B]."""
    return jax.nn.logsumexp(log_prob_of_parts(x), axis=-1)


def denoiser(path, part=None):
    """The exact denoiser along a path, of the mixture or of one of its parts."""

    def denoise(x, t):
        t = jnp.broadcast_to(t, (len(x), 1))
        alpha, sigma = path.alpha(t), path.sigma(t)
        weight = jax.nn.softmax(log_prob_of_parts(x, alpha, sigma))
        if part is not None:
            weight = jnp.broadcast_to(jax.nn.one_hot(part, len(MEANS)), weight.shape)
        pull = alpha * SCALE**2 / ((alpha * SCALE) ** 2 + sigma**2)
        mean = weight @ MEANS  # of the parts
        data = mean + pull * (x - alpha * mean)
        # σ ε without cancellation: x - alpha data = (x - alpha mean) (1 - alpha pull)
        noise = (x - alpha * mean) * sigma / ((alpha * SCALE) ** 2 + sigma**2)
        return Prediction(data, noise)

    return denoise


def draw(random, size):
    """Points [size, 2]."""
    return (MEANS[random.randint(len(MEANS), size=size)]
            + SCALE * random.standard_normal((size, 2))).astype(np.float32)  # fmt: skip
