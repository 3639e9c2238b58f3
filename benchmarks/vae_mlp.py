"""Training of a VAE on 784 binary pixels, in images a second.

    python benchmarks/vae_mlp.py [--seconds=3]

One JSON line, with the same case and protocol as the comparison with other libraries: encoder
784-512-512 to 64 latent dimensions, decoder 64-512-512-784, ReLU, float32, batches of 128 ready in
memory, Adam at 1e-3, nothing logged, every call waited for. The figure is the rate of the median
block of calls. Form ratios only between runs that alternate on an otherwise idle machine.
"""

import argparse
import itertools
import json

import jax
import optax
from timing import measure, training

from genjax.models import VAE
from genjax.models.base import num_params
from genjax.networks import MLP

BATCH = 128


def main() -> None:
    """Prints the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=3.0)
    args = parser.parse_args()
    width = {'features': (512, 512), 'activation': 'relu'}
    model = VAE(MLP(**width), MLP(**width, shape=(784,)), latent_dim=64)
    keys = [jax.random.key(i) for i in range(8)]
    rows = [jax.random.bernoulli(key, 0.3, (BATCH, 784)).astype('float32') for key in keys]
    data = itertools.cycle(zip(rows, keys, strict=True))
    variables = jax.jit(model.init)(keys[0], {'x': rows[0]})
    (phase,) = model.phases

    def mean_loss(params, x, key):
        return phase.loss({**variables, 'params': params}, {'x': x}, key).values.mean()

    train, _ = training(mean_loss, variables['params'], optax.adam(1e-3), data)
    head = {'case': 'vae-mlp', 'peer': 'genjax', 'variant': 'jit', 'figure': 'train'}
    head |= {'unit': 'images/s', 'params': num_params(variables)}
    print(json.dumps(head | measure(train, BATCH, args.seconds)), flush=True)


if __name__ == '__main__':
    main()
