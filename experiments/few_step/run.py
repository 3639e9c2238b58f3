"""How far samples of one step are from the data, beside those of 128 steps.

    python -m experiments.few_step.run runs/mean_flow runs/shortcut ...

Prints, for each run (of a model with a field `steps`, on a `Density`) and number of steps, the
maximum mean discrepancy of its samples from the data and the share of outliers, which are less
likely than all but .1 % of the data. The squared discrepancy is the mean of unbiased estimates from
eight sets of 10,000 samples and as many new points each, so that equal distributions have 0 but for
the error given; every number of steps starts from the same noise. The row "data" has new points in
place of samples.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

import genjax
from genjax.data import Density
from genjax.data.toy.densities import DENSITIES
from genjax.evaluation.mmd import median_distance, mmd2
from genjax.evaluation.outliers import outlier_share

NUM, SETS = 10_000, 8
STEPS = (1, 2, 4, 128)

_mmd2 = jax.jit(mmd2)


def points(name: str, seed: int) -> np.ndarray:
    """New points [NUM, 2] of a density; the splits of the data have the seeds 0 to 2."""
    return DENSITIES[name].draw(np.random.RandomState(seed), NUM)[0].astype(np.float32)


def row(label: str, dataset: Density, sample: Callable[[int], np.ndarray]) -> str:
    """A line of the table for the sets `sample(i)` [NUM, 2]."""
    squares, outliers = [], []
    for i in range(SETS):
        x, y = sample(i), points(dataset.name, 100 + i)
        widths = np.float32(median_distance(y)) * 2.0 ** np.arange(-2, 3, dtype=np.float32)
        squares.append(1e4 * float(_mmd2(x, y, widths)))
        densities = (np.asarray(dataset.log_prob(points)) for points in (x, y))
        outliers.append(outlier_share(*densities, 0.001))
    mean, error = np.mean(squares), np.std(squares, ddof=1) / math.sqrt(SETS)
    mmd = math.sqrt(max(mean, 0.0)) / 100
    return f'| {label} | {mmd:.4f} | {mean:.2f} ± {error:.2f} | {np.mean(outliers):.4f} |'


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('workdirs', type=Path, nargs='+')
    parser.add_argument('--steps', type=int, nargs='+', default=STEPS)
    args = parser.parse_args()
    print('| run | steps | MMD | MMD², 10⁻⁴ | outliers |\n|---|---|---|---|---|')
    for path in args.workdirs:
        run = genjax.load(path, 'latest')
        dataset = run.experiment.dataset
        if path == args.workdirs[0]:
            print(row('data |', dataset, partial(new, dataset.name)))
        for steps in args.steps:
            sample = partial(sampled, run.with_sampling(steps=steps))
            print(row(f'{path.name} | {steps}', dataset, sample), flush=True)


def new(name: str, number: int) -> np.ndarray:
    """Other points than those that samples are compared with."""
    return points(name, 200 + number)


def sampled(run: genjax.Run, number: int) -> np.ndarray:
    """Samples from the noise of this seed."""
    return run.sample(NUM, seed=number)


if __name__ == '__main__':
    main()
