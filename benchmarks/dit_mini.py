"""Training and guided sampling of a diffusion transformer on 32x32 pictures, in images a second.

    python benchmarks/dit_mini.py [--figure=train] [--seconds=3] [--scan]

One JSON line a figure, with the same case and protocol as the comparison with other libraries:
patches of 4, 6 blocks of width 256 with 4 heads, 10 classes, float32; the error of the noise on
DDPM's 1000 steps, a tenth of the labels dropped, batches of 32 ready in memory, AdamW at 1e-4; DDIM
with 50 steps and guidance 4 for 16 images. Every call is waited for, nothing is logged. A figure is
the rate of its median block of calls. Form ratios only between runs that alternate on an otherwise
idle machine.
"""

import argparse
import itertools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from timing import measure, shared, training, variant

from genjax.models.base import num_params
from genjax.models.diffusion import (
    DDIM,
    ClassifierFree,
    DiffusionModel,
    DiffusionSampling,
    DiscreteVP,
    Epsilon,
)
from genjax.networks import DiT
from genjax.parallel.sharding import MeshShape, rows

SHAPE, BATCH, SAMPLES, STEPS, CLASSES = (32, 32, 3), 32, 16, 50, 10


def calls(scan: bool) -> tuple[int, dict[str, tuple[int, Callable]]]:
    """The number of parameters, and by the name of the figure images a call, and the call."""
    network = DiT(SHAPE, patch=4, features=256, num_layers=6, num_heads=4, scan=scan)
    model = DiffusionModel(
        network,
        path=DiscreteVP(),
        parameterisation=Epsilon(),
        sampling=DiffusionSampling(DDIM(), steps=STEPS, guide=ClassifierFree(4.0)),
        num_classes=CLASSES,
        condition_dropout=0.1,
    )
    keys = [jax.random.key(i) for i in range(8)]
    pictures = [jax.random.uniform(key, (BATCH, *SHAPE), minval=-1) for key in keys]
    labels = [jax.random.randint(key, (BATCH,), 0, CLASSES) for key in keys]
    data = itertools.cycle(map(shared, zip(pictures, labels, keys, strict=True)))
    variables = jax.jit(model.init)(keys[0], {'x': pictures[0], 'label': labels[0]})
    (phase,) = model.phases

    def mean_loss(params, x, label, key):
        batch = {'x': x, 'label': label}
        return phase.loss({**variables, 'params': params}, batch, key).values.mean()

    train, _ = training(mean_loss, variables['params'], optax.adamw(1e-4, weight_decay=0.0), data)
    wanted = jnp.arange(SAMPLES) % CLASSES
    sample = jax.jit(
        lambda v, key: model.sample(v, key, SAMPLES, label=wanted),
        out_shardings=rows(MeshShape().make()),
    )
    seeds = itertools.cycle(keys)
    return num_params(variables), {
        'train': (BATCH, train),
        'sample': (SAMPLES, lambda: sample(variables, next(seeds)).block_until_ready()),
    }


def main() -> None:
    """Prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--figure', choices=('train', 'sample'))
    parser.add_argument('--seconds', type=float, default=3.0, help='for each figure')
    parser.add_argument('--scan', action='store_true', help='loop over the blocks')
    args = parser.parse_args()
    params, figures = calls(args.scan)
    for name, (images, call) in figures.items():
        if args.figure in (None, name):
            head = {'case': 'dit-mini', 'peer': 'genjax', 'figure': name, 'unit': 'images/s'}
            head |= {'variant': variant('scan' if args.scan else 'plain'), 'params': params}
            result = measure(call, images, args.seconds, warm_up=1, min_blocks=3)
            print(json.dumps(head | result), flush=True)


if __name__ == '__main__':
    main()
