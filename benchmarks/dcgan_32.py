"""Training of a DCGAN on pictures of 32x32x1, in images a second: 64 a step of both players.

    python benchmarks/dcgan_32.py [--seconds=3]

One JSON line, with the same case and protocol as the comparison with other libraries, whose layers
these are: transposed convolutions 4x4 100-256-128-64-1 with batch norm and ReLU, convolutions 4x4
1-64-128-256-1 with batch norm and leaky ReLU, no biases, float32, softplus losses, real and fake in
separate passes, Adam at 2e-4 (.5, .999). What is timed is genjax's train step, every call waited
for; the generator's turn reuses the samples of the discriminator's, as the others do. Form ratios
only between runs that alternate on an otherwise idle machine.
"""

import argparse
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array
from timing import measure, shared, stepping, variant

from genjax.models import GAN
from genjax.models.base import num_params

BATCH, LATENT, WIDTH = 64, 100, 64


def _norm(x: Array, train: bool) -> Array:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)(x)


def _strided(x: Array, kernel: Array) -> Array:
    """The convolution that halves a picture: [B, 2 H, 2 W, C] with [4, 4, C, K] to [B, H, W, K]."""
    return jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


@jax.custom_vjp
def transposed(x: Array, kernel: Array) -> Array:
    """The transpose of `_strided`: [B, H, W, K] with [4, 4, C, K] to [B, 2 H, 2 W, C].

    Its derivatives are written with `_strided` too: those that JAX finds are an order of magnitude
    slower on the CPU.
    """
    batch, height, width, _ = x.shape
    shape = jax.ShapeDtypeStruct((batch, 2 * height, 2 * width, kernel.shape[2]), x.dtype)
    (y,) = jax.linear_transpose(lambda y: _strided(y, kernel), shape)(x)
    return y


def _backward(saved: tuple[Array, Array], y: Array) -> tuple[Array, Array]:
    x, kernel = saved
    (change,) = jax.linear_transpose(lambda k: _strided(y, k), kernel)(x)
    return _strided(y, kernel), change


transposed.defvjp(lambda x, kernel: (transposed(x, kernel), (x, kernel)), _backward)


class Upsample(nn.Module):
    """A transposed convolution, 4x4 with stride 2, that doubles the picture."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, H, W, C] to [B, 2 H, 2 W, features]."""
        init = nn.initializers.normal(0.02)
        return transposed(x, self.param('kernel', init, (4, 4, self.features, x.shape[-1])))


class Generator(nn.Module):
    """Codes [B, 100] to pictures [B, 32, 32, 1]."""

    shape: tuple[int, ...] = (32, 32, 1)

    @nn.compact
    def __call__(self, z: Array, train: bool = False) -> Array:
        """A transposed convolution of one pixel is a linear layer."""
        x = nn.Dense(4 * 4 * 4 * WIDTH, use_bias=False)(z).reshape(-1, 4, 4, 4 * WIDTH)
        x = nn.relu(_norm(x, train))
        for features in (2 * WIDTH, WIDTH):
            x = nn.relu(_norm(Upsample(features)(x), train))
        return jnp.tanh(Upsample(1)(x))


class Discriminator(nn.Module):
    """Pictures [B, 32, 32, 1] to logits [B]."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Halves the picture to 4x4, and weighs its pixels."""
        for level, features in enumerate((WIDTH, 2 * WIDTH, 4 * WIDTH)):
            x = nn.Conv(features, (4, 4), strides=2, padding=1, use_bias=False)(x)
            x = nn.leaky_relu(_norm(x, train) if level else x, 0.2)
        return nn.Dense(1, use_bias=False)(x.reshape(len(x), -1))[:, 0]


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=3.0)
    args = parser.parse_args()
    model = GAN(Generator(), Discriminator(), LATENT, reuse=True)
    adam = optax.adam(2e-4, b1=0.5, b2=0.999)
    keys = [jax.random.key(i) for i in range(8)]
    batches = [shared({'x': jax.random.uniform(k, (BATCH, 32, 32, 1), minval=-1.0)}) for k in keys]
    head = {'case': 'dcgan-32', 'peer': 'genjax', 'variant': variant('jit'), 'figure': 'train'}
    head |= {'unit': 'images/s', 'params': num_params(model.init(keys[0], batches[0]))}
    measured = measure(stepping(model, adam, BATCH, batches), BATCH, args.seconds)
    print(json.dumps(head | measured), flush=True)


if __name__ == '__main__':
    main()
