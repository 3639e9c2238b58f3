"""Sixteen runs on the digits: one after another, by a local pool, and as a population.

    python -m experiments.populations.run          # from the folder of the checkout; 8 minutes

Learning rate × β × seed of configs/digits/vae.py, 200 steps each, without validation and test. Each
way starts with an empty cache of compiled programs, which its processes share, or (--without_cache)
every process compiles all that it runs; times include starting and compiling. Prints the table of
the README, and how far the members are from the single runs at the end.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = 'configs/digits/vae.py'
WORDS = 'product(optimizer.learning_rate.init_value=[1e-3,2e-3],model.beta=[.5,1.],seed=range(4))'
FIELDS = (
    '--config.steps=200',
    '--config.evals={}',
    '--config.best=None',
)
WAYS = ('one after another', 'local pool', 'vectorized')


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--without_cache', action='store_true')
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(args.rounds):
            for way in WAYS:
                workdir = folder / f'{way} {number}'.replace(' ', '_')
                seconds[way].append(_timed(way, workdir, cached=not args.without_cache))
                print(f'round {number + 1}, {way}: {seconds[way][-1]:.1f} s', flush=True)
        difference = _difference(folder / 'one_after_another_0', folder / 'vectorized_0')
    print('\n| | median of the rounds, s | all rounds, s | times as long as vectorized |')
    print('|---|---|---|---|')
    fastest = statistics.median(seconds['vectorized'])
    for way in WAYS:
        median = statistics.median(seconds[way])
        rounds = ', '.join(f'{s:.1f}' for s in seconds[way])
        print(f'| {way} | {median:.1f} | {rounds} | {median / fastest:.1f} |')
    print(f'\nlargest difference of a number in the states, |a - b| / (1 + |b|): {difference:.1e}')


def _timed(way: str, workdir: Path, cached: bool) -> float:
    environment = {
        **os.environ,
        'JAX_PLATFORMS': 'cpu',
        'JAX_ENABLE_COMPILATION_CACHE': str(cached),
        'XDG_CACHE_HOME': f'{workdir}.cache',
    }
    genjax = [sys.executable, '-m', 'genjax']
    sweep = [*genjax, 'sweep', f'--config={CONFIG}', f'--sweep={WORDS}', *FIELDS]
    commands = [[*sweep, f'--workdir={workdir}', f'--max_parallel={os.cpu_count()}']]
    if way == 'vectorized':
        commands = [[*sweep, f'--workdir={workdir}', '--launcher=vectorized']]
    if way == 'one after another':
        commands = _single(genjax, workdir)
    start = time.monotonic()
    for command in commands:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def _single(genjax: list[str], workdir: Path) -> list[list[str]]:
    """`genjax train` of each trial, in the place where the sweep would have it."""
    from genjax import config
    from genjax.sweeps import combinators
    from genjax.sweeps.trials import trials_of

    overrides = [tuple(f.removeprefix('--config.').split('=', 1)) for f in FIELDS]
    return [
        [
            *genjax,
            'train',
            f'--config={CONFIG}',
            *FIELDS,
            *(f'--config.{name}={value}' for name, value in trial.changes.items()),
            f'--workdir={workdir / "trials" / trial.id}',
        ]
        for trial in trials_of(config.load(CONFIG, overrides), combinators.parse(WORDS))
    ]


def _difference(one: Path, other: Path) -> float:
    import jax
    import numpy as np

    from genjax.training import loading as runs

    logging.getLogger('absl').setLevel(logging.CRITICAL)
    largest = 0.0
    for path in sorted((one / 'trials').iterdir()):
        a, b = (
            jax.tree.map(np.asarray, (run.state.variables, run.state.opt_state, run.state.ema))
            for run in (runs.load(path), runs.load(other / 'trials' / path.name))
        )
        gaps = jax.tree.map(lambda x, y: np.max(np.abs(x - y) / (1 + np.abs(y))), b, a)
        largest = max(largest, *map(float, jax.tree.leaves(gaps)))
    return largest


if __name__ == '__main__':
    main()
