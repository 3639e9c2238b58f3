"""Training of a WGAN with gradient penalty on points in the plane, in generator steps a second.

    python benchmarks/wgan_gp_2d.py [--seconds=3]

One JSON line, with the same case and protocol as the comparison with other libraries: generator
2-128-128-128-2, critic 2-128-128-128-1, ReLU, float32; five critic updates, each on its own 256
points and fresh samples, with a penalty of 10, then one of the generator; Adam at 1e-4 (.5, .9).
What is timed is genjax's train step, every call waited for. Form ratios only between runs that
alternate on an otherwise idle machine.
"""

import argparse
import json

import jax
import optax
from timing import measure, stepping

from genjax.models import GAN
from genjax.models.base import num_params
from genjax.networks import MLP

BATCH, CRITIC_UPDATES = 256, 5


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=3.0)
    args = parser.parse_args()
    width = (128, 128, 128)
    model = GAN(
        MLP(width, shape=(2,)),
        MLP(width, shape=()),
        latent_dim=2,
        loss='wasserstein',
        gradient_penalty=10.0,
        num_critic=CRITIC_UPDATES,
    )
    adam = optax.adam(1e-4, b1=0.5, b2=0.9)
    keys = [jax.random.key(i) for i in range(8)]
    rows = CRITIC_UPDATES * BATCH
    batches = [{'x': jax.random.normal(key, (rows, 2))} for key in keys]
    head = {'case': 'wgan-gp-2d', 'peer': 'genjax', 'variant': 'jit', 'figure': 'train'}
    head |= {'unit': 'generator steps/s', 'params': num_params(model.init(keys[0], batches[0]))}
    print(
        json.dumps(head | measure(stepping(model, adam, BATCH, batches), 1, args.seconds)),
        flush=True,
    )


if __name__ == '__main__':
    main()
