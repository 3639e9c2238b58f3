"""Training, density and sampling of three flows, in samples a second.

    python benchmarks/flows.py --case=realnvp-2d [--figure=train] [--seconds=3] [--unroll=1]

One JSON line a figure, with the same cases and protocol as the comparison with other libraries:
float32, batches of 512 random examples ready in memory, Adam at 1e-3, nothing logged, every call
waited for. A figure is the rate of its median block of calls. Form ratios only between runs that
alternate on an otherwise idle machine.
"""

import argparse
import itertools
import json
from collections.abc import Callable

import jax
import optax
from timing import measure, shared, training, variant

from genjax.models import Flow
from genjax.models.base import num_params
from genjax.models.flow import (
    Affine,
    Autoregressive,
    Chain,
    Coupling,
    Permute,
    Repeat,
    Reverse,
    Spline,
)
from genjax.networks import MLP, MaskedMLP

BATCH = 512
# Layers that the peers have too: (layer, how many, dimensions).
CASES = {
    'realnvp-2d': (Chain((Coupling(MLP((64, 64)), Affine()), Reverse())), 16, 2),
    'nsf-2d': (Chain((Coupling(MLP((64, 64)), Spline(8, 3.0)), Reverse())), 8, 2),
    'maf-tab': (Chain((Autoregressive(MaskedMLP((128, 128)), Affine()), Permute())), 5, 16),
}


def calls(case: str, unroll: int) -> tuple[int, dict[str, Callable[[], object]]]:
    """The number of parameters, and what to time by the name of the figure."""
    layer, num, dim = CASES[case]
    model = Flow(Repeat(layer, num, unroll), (dim,))
    data = [shared(jax.random.normal(jax.random.key(i), (BATCH, dim))) for i in range(8)]
    variables = jax.jit(model.init)(jax.random.key(0), {'x': data[0]})
    batches = itertools.cycle(data)
    keys = itertools.cycle([jax.random.key(i) for i in range(8)])
    (phase,) = model.phases

    def mean_loss(params, x):
        output = phase.loss({'params': params, 'state': {}}, {'x': x}, None)
        return output.values.mean()

    rows = ((x,) for x in batches)
    train, state = training(mean_loss, variables['params'], optax.adam(1e-3), rows)
    log_prob = jax.jit(lambda p, x: model.log_prob({'params': p, 'state': {}}, x, None).value)
    draw = jax.jit(lambda p, key: model.sample({'params': p, 'state': {}}, key, BATCH))

    return num_params(variables), {
        'train': train,
        'log_prob': lambda: log_prob(state[0], next(batches)).block_until_ready(),
        'sample': lambda: draw(state[0], next(keys)).block_until_ready(),
    }


def main() -> None:
    """Times one case and prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--case', choices=CASES, default='realnvp-2d')
    parser.add_argument('--figure', choices=('train', 'log_prob', 'sample'))
    parser.add_argument('--seconds', type=float, default=3.0, help='for each figure')
    parser.add_argument('--unroll', type=int, default=1, help='layers in a turn of the loop')
    args = parser.parse_args()
    params, figures = calls(args.case, args.unroll)
    head = {'case': args.case, 'peer': 'genjax', 'variant': variant(f'unroll-{args.unroll}')}
    for figure, call in figures.items():
        if args.figure in (None, figure):
            result = measure(call, BATCH, args.seconds)
            name = {'figure': figure, 'unit': 'samples/s', 'params': params}
            print(json.dumps({**head, **name, **result}), flush=True)


if __name__ == '__main__':
    main()
