"""Training and cached generation of a character GPT, in tokens a second.

    python benchmarks/gpt_char.py [--figure=train] [--seconds=3] [--scan]

One JSON line a figure, with the same case and protocol as the comparison with other libraries:
4 layers, 4 heads, width 128, 65 tokens, float32; training on context 64 and batches of 12 with
AdamW and clipping, generation of 16 x 256 tokens at temperature 1 with a KV cache. Every call is
waited for, nothing is logged. A figure is the rate of its median block of calls. Form ratios only
between runs that alternate on an otherwise idle machine.
"""

import argparse
import itertools
import json
import os
from collections.abc import Callable

for _name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '2')

import jax  # noqa: E402
import optax  # noqa: E402
from timing import measure, training  # noqa: E402

from genjax.models import GPT  # noqa: E402
from genjax.models.base import num_params  # noqa: E402
from genjax.networks import Transformer  # noqa: E402

VOCAB, ROWS, LENGTH = 65, 16, 256


def calls(context: int, batch: int, scan: bool) -> dict[str, tuple[int, int, Callable]]:
    """What to time by the name of the figure: parameters, tokens a call, and the call."""
    network = Transformer((context,), VOCAB, features=128, num_layers=4, num_heads=4, scan=scan)
    model = GPT(network)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(1e-3, b2=0.99, weight_decay=0.1)
    )
    keys = [jax.random.key(i) for i in range(8)]
    data = itertools.cycle([jax.random.randint(key, (batch, context), 0, VOCAB) for key in keys])
    variables = jax.jit(model.init)(keys[0], {'x': next(data)})
    (phase,) = model.phases

    def mean_loss(params, x):
        output = phase.loss({'params': params, 'state': {}}, {'x': x}, keys[0])
        return output.metrics['nats_per_token'].mean()

    rows = ((x,) for x in data)
    train, _ = training(mean_loss, variables['params'], optimizer, rows)
    generator = GPT(network.clone(shape=(LENGTH,)))
    drawn = jax.jit(generator.init)(keys[0], {'x': jax.numpy.zeros((1, LENGTH), int)})
    sample = jax.jit(generator.sample, static_argnums=2)
    seeds = itertools.cycle(keys)

    return {
        'train': (num_params(variables), batch * context, train),
        'generate': (
            num_params(drawn),
            ROWS * LENGTH,
            lambda: sample(drawn, next(seeds), ROWS).block_until_ready(),
        ),
    }


def main() -> None:
    """Prints a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--figure', choices=('train', 'generate'))
    parser.add_argument('--seconds', type=float, default=3.0, help='for each figure')
    parser.add_argument('--context', type=int, default=64, help='tokens in a row, in training')
    parser.add_argument('--batch', type=int, default=12, help='rows, in training')
    parser.add_argument('--scan', action='store_true', help='loop over the layers')
    args = parser.parse_args()
    variant = 'scan' if args.scan else 'plain'
    for name, (params, tokens, call) in calls(args.context, args.batch, args.scan).items():
        if args.figure in (None, name):
            head = {'case': 'gpt-char', 'peer': 'genjax', 'variant': variant, 'figure': name}
            head |= {'unit': 'tokens/s', 'params': params}
            print(json.dumps(head | measure(call, tokens, args.seconds)), flush=True)


if __name__ == '__main__':
    main()
