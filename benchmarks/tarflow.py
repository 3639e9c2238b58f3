"""Sampling of a transformer flow with the cache of its blocks and by whole passes, in samples a
second, alternately.

    python -m benchmarks.tarflow --seconds 15

The samples agree to rounding. `configs/digits/tarflow.py` has 16 tokens, the second model 64.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models import Flow
from genjax.models.flow import Autoregressive, Chain, Inverse, Repeat, Reverse, Tokens
from genjax.networks import TokenTransformer

NUM = 16


class ByPasses(TokenTransformer):
    """Without the cache: a pass over all tokens for each."""

    step = None


def sampler(network: TokenTransformer, side: int) -> Callable[[int], jax.Array]:
    """Returns seed -> samples [NUM, side, side, 1] of four blocks over patches of 2x2 pixels, with
    random parameters.
    """
    shape = (side, side, 1)
    layer = Chain((Autoregressive(network), Reverse(axis=1)))
    tokens = Tokens(shape, 2)
    model = Flow(Chain((tokens, Repeat(layer, 4), Inverse(Tokens(shape, 2)))), shape)
    variables = model.init(jax.random.key(0), {'x': jnp.zeros((2, *shape))})
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [a + 0.02 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    variables = jax.tree.unflatten(structure, noisy)
    sample = jax.jit(lambda seed: model.sample(variables, jax.random.key(seed), NUM))
    return lambda seed: sample(seed).block_until_ready()


def main() -> None:
    """Prints the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=60, help='for each model')
    args = parser.parse_args()
    device = jax.devices()[0].device_kind
    for side in (8, 16):
        cached, plain = (sampler(kind(64, 2, 4), side) for kind in (TokenTransformer, ByPasses))
        np.testing.assert_allclose(cached(0), plain(0), rtol=1e-3, atol=1e-3)
        rates: dict[str, list[float]] = {'cached': [], 'passes': []}
        end, seed = time.perf_counter() + args.seconds, 0
        while time.perf_counter() < end:
            for name, call in (('cached', cached), ('passes', plain)):
                start, seed = time.perf_counter(), seed + 1
                call(seed)
                rates[name].append(NUM / (time.perf_counter() - start))
        cached_rate, plain_rate = (statistics.median(values) for values in rates.values())
        ratio = cached_rate / plain_rate
        print(
            f'{side // 2 * (side // 2)} tokens: {cached_rate:.1f} samples/s cached, '
            f'{plain_rate:.1f} by passes, {ratio:.1f} times; {len(rates["cached"])} calls each on'
            f' {device}',
            flush=True,
        )


if __name__ == '__main__':
    main()
