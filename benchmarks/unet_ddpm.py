"""Training and sampling of a denoising U-Net on 32x32 pictures, in images a second.

    python benchmarks/unet_ddpm.py [--figure=train] [--seconds=3]

One JSON line a figure, with the same case and protocol as the comparison with other libraries: 64,
128, 128 channels, one block a level, attention at 16x16 with heads of 8 channels, float32; the
error of the noise on DDPM's 1000 steps, batches of 32 ready in memory, AdamW at 1e-4; DDIM with 50
steps for 16 images. Every call is waited for, nothing is logged. A figure is the rate of its median
block of calls. Form ratios only between runs that alternate on an otherwise idle machine.
"""

import argparse
import itertools
import json
from collections.abc import Callable

import jax
import optax
from timing import measure, shared, training, variant

from genjax.models.base import num_params
from genjax.models.diffusion import DDIM, DiffusionModel, DiffusionSampling, DiscreteVP, Epsilon
from genjax.networks import UNet
from genjax.parallel.sharding import MeshShape, rows

SHAPE, BATCH, SAMPLES, STEPS = (32, 32, 1), 32, 16, 50


def calls() -> tuple[int, dict[str, tuple[int, Callable]]]:
    """The number of parameters, and by the name of the figure images a call, and the call."""
    network = UNet(
        SHAPE,
        features=(64, 128, 128),
        num_blocks=1,
        attention_at=(16,),
        head_features=8,
        groups=32,
        scale_shift=False,
    )
    sampling = DiffusionSampling(DDIM(), steps=STEPS)
    model = DiffusionModel(
        network, path=DiscreteVP(), parameterisation=Epsilon(), sampling=sampling
    )
    keys = [jax.random.key(i) for i in range(8)]
    pictures = [jax.random.uniform(key, (BATCH, *SHAPE), minval=-1) for key in keys]
    data = itertools.cycle(map(shared, zip(pictures, keys, strict=True)))
    variables = jax.jit(model.init)(keys[0], {'x': pictures[0]})
    (phase,) = model.phases

    def mean_loss(params, x, key):
        return phase.loss({**variables, 'params': params}, {'x': x}, key).values.mean()

    train, _ = training(mean_loss, variables['params'], optax.adamw(1e-4, weight_decay=1e-2), data)
    sample = jax.jit(model.sample, static_argnums=2, out_shardings=rows(MeshShape().make()))
    seeds = itertools.cycle(keys)
    return num_params(variables), {
        'train': (BATCH, train),
        'sample': (
            SAMPLES,
            lambda: sample(variables, next(seeds), SAMPLES).block_until_ready(),
        ),
    }


def main() -> None:
    """Prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--figure', choices=('train', 'sample'))
    parser.add_argument('--seconds', type=float, default=3.0, help='for each figure')
    args = parser.parse_args()
    params, figures = calls()
    for name, (images, call) in figures.items():
        if args.figure in (None, name):
            head = {'case': 'unet-ddpm', 'peer': 'genjax', 'figure': name, 'unit': 'images/s'}
            head |= {'variant': variant('jit'), 'params': params}
            result = measure(call, images, args.seconds, warm_up=1, min_blocks=3)
            print(json.dumps(head | result), flush=True)


if __name__ == '__main__':
    main()
