"""How far samples of one step are from the data, beside those of 128 steps.

    python -m experiments.few_step.run runs/mean_flow runs/shortcut ...

Prints, for each run (of a model with a field `steps`) and number of steps, the maximum mean
discrepancy of 10,000 samples from as many test points (no two such sets are the same: training
points in place of samples give the row "data") and the share of outliers, which are less likely
than all but .1 % of the data.
"""

import argparse
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genjax.evaluation.draws import draw
from genjax.evaluation.mmd import median_distance, mmd2
from genjax.evaluation.outliers import outlier_share
from genjax.training import run as runs

NUM = 10_000
STEPS = (1, 2, 4, 128)


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The MMD of the points x and y [N, D]; radial kernels of 1/4 to 4 times the median distance in
    y.
    """
    widths = jnp.asarray(median_distance(y) * 2.0 ** np.arange(-2, 3), jnp.float32)
    squared = jax.jit(lambda x, y: mmd2(x, y, widths, biased=True))(x, y)
    return float(np.sqrt(squared))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('workdirs', type=Path, nargs='+')
    args = parser.parse_args()
    print('| run | steps | MMD | outliers |\n|---|---|---|---|')
    for path in args.workdirs:
        run = runs.load(path, 'latest')
        dataset, model = run.experiment.dataset, run.experiment.model
        test = dataset.source('test')[np.arange(NUM)]['x']
        train = dataset.source('train')[np.arange(NUM)]['x']
        reference = np.asarray(dataset.log_prob(train))

        def row(name: str, x: np.ndarray, test=test, dataset=dataset, reference=reference) -> None:
            share = outlier_share(np.asarray(dataset.log_prob(x)), reference, 0.001)
            print(f'| {name} | {mmd(x, test):.4f} | {share:.4f} |', flush=True)

        row('data |', train)
        for steps in STEPS:
            sampled = dataclasses.replace(model, steps=steps)
            x = draw(sampled, run.state.averaged, NUM, jax.random.key(0), 1000)
            row(f'{path.name} | {steps}', x)


if __name__ == '__main__':
    main()
