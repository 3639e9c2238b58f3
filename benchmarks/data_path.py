"""Examples a second of each part of the way from a data set to the device.

    python benchmarks/data_path.py [--size=60000] [--seconds=5] [--rounds=5]

60,000 pictures of 32x32x3 in batches of 256: the gather from memory, the same onto the device, and
reading stored codes of 32x32x4 (means and standard deviations, 32 kB an example) from array_record
through Grain and from memory. Then a small step on the pictures, with and without a batch on its
way beforehand.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding

from genjax.data import Latents, latents, train_batches
from genjax.data.pipeline import Batch
from genjax.data.sources import InMemorySource
from genjax.parallel import sharding
from genjax.parallel.sharding import MeshShape
from genjax.training.prefetch import feed

BATCH = 256


def rate(items: Iterator, rows: int, seconds: float) -> float:
    """Examples a second of an iterator of batches."""
    for item in itertools.islice(items, 3):
        jax.block_until_ready(item)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        jax.block_until_ready(next(items))
        count += rows
    return count / (time.perf_counter() - start)


def stored(folder: Path, size: int) -> Path:
    """Random codes with labels, as `genjax encode` writes them."""
    random = np.random.RandomState(0)

    def batches() -> Iterator[Batch]:
        for start in range(0, size, BATCH):
            rows = min(BATCH, size - start)
            x = random.standard_normal((rows, 2, 32, 32, 4)).astype(np.float32)
            yield {'x': x, 'label': random.randint(1000, size=rows).astype(np.int32)}

    latents.write(
        folder / 'codes',
        {'train': batches()},
        example=((2, 32, 32, 4), 'float32'),
        num_classes=1000,
        record={'first_stage': {}, 'data': {'train': ''}},
    )
    return folder / 'codes'


def calls_a_second(batches: Iterator, layout: NamedSharding, ahead: bool, seconds: float) -> float:
    """Calls of a small program on batches, each waited for when the next is under way, as the
    training loop does; the transfer of the next batch is begun before it is asked for, or not.
    """
    weights = jax.device_put(np.eye(1024, dtype=np.float32))

    @jax.jit
    def step(carry, batch):
        return carry @ weights + batch['x'].astype('float32').mean()

    placed = feed(batches, layout) if ahead else (sharding.place(b, layout) for b in batches)
    before = carry = jax.block_until_ready(step(weights, next(placed)))
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        carry = step(carry, next(placed))
        before.block_until_ready()
        before, count = carry, count + 1
    carry.block_until_ready()
    return count / (time.perf_counter() - start)


def main() -> None:
    """Prints a line for each path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=60_000)
    parser.add_argument('--seconds', type=float, default=5.0)
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    x = np.random.RandomState(0).randint(256, size=(args.size, 32, 32, 3)).astype(np.uint8)
    memory = InMemorySource({'x': x, 'label': np.zeros(args.size, np.int32)})
    layout = sharding.rows(MeshShape().make())

    def show(name: str, items: Iterator) -> None:
        print(f'{name:44} {rate(items, BATCH, args.seconds):12,.0f} examples/s', flush=True)

    show('pictures, from memory', train_batches(memory, batch_size=BATCH, seed=0))
    show('the same, onto the device', feed(train_batches(memory, batch_size=BATCH, seed=0), layout))
    with tempfile.TemporaryDirectory() as folder:
        path = stored(Path(folder), args.size // 10)
        for in_memory in (False, True):
            source = Latents(str(path), in_memory=in_memory).source('train')
            name = f'codes, from {"memory" if in_memory else "array_record"}'
            show(name, train_batches(source, batch_size=BATCH, seed=0))
    rates = {False: [], True: []}
    for _ in range(args.rounds):
        for ahead, found in rates.items():
            batches = train_batches(memory, batch_size=BATCH, seed=0)
            found.append(calls_a_second(batches, layout, ahead, args.seconds))
    for ahead, found in rates.items():
        name = f'a small step, transfer {"ahead" if ahead else "when asked for"}'
        print(f'{name:44} {statistics.median(found):12,.1f} calls/s')


if __name__ == '__main__':
    main()
