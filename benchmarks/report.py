"""Seconds that `genjax report` takes for a sweep of 200 trials, start-up included.

    python -m benchmarks.report [--trials=200] [--records=500]

The sweep is made up: 40 settings of two fields at 5 seeds; each trial has so many records of seven
metrics, one validation for ten of them, and a picture of 400 x 400 pixels.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.reports import folders

METRICS = ('loss', 'grad_norm', 'rate', 'distortion', 'elbo')


def main() -> None:
    """Makes the sweep and times each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--trials', type=int, default=200)
    parser.add_argument('--records', type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, 'sweep')
        make(folder, args.trials, args.records)
        for kind in ('md', 'csv', 'parquet', 'png', 'html'):
            out = Path(place, f'report.{kind}')
            began = time.perf_counter()
            command = [sys.executable, '-m', 'genjax', 'report', str(folder), f'--out={out}']
            subprocess.run(command, check=True)
            size = out.stat().st_size / 1e6
            print(f'{kind:8} {time.perf_counter() - began:5.1f} s  {size:6.2f} MB')


def make(folder: Path, trials: int, records: int) -> None:
    """Writes the sweep into a new folder."""
    generator = np.random.default_rng(0)
    rates = np.geomspace(1e-4, 1e-1, 8).round(6).tolist()
    settings = itertools.product(rates, (0.25, 0.5, 1.0, 2.0, 4.0), range(-(-trials // 40)))
    steps = [folders.STEPS * (i + 1) // records for i in range(records)]
    for number, (rate, beta, seed) in enumerate(itertools.islice(settings, trials)):
        changes = {'optimizer.learning_rate': rate, 'model.beta': beta, 'seed': seed}
        level = 20 + abs(np.log10(rate) + 2.5) + np.log2(beta) ** 2
        curve = level + 10 * np.exp(-np.linspace(0, 5, records))
        noisy = curve + generator.normal(0, 0.3, (len(METRICS), records))
        lines = []
        for i, step in enumerate(steps):
            values = {f'vae/{name}': noisy[j, i] for j, name in enumerate(METRICS)}
            lines.append({'step': step, **values, 'steps_per_second': 100.0, 'data_wait': 0.0})
            if i % 10 == 9:
                results = {f'nll/{k}': noisy[0, i] for k in ('nll', 'bits', 'se')}
                lines.append({'step': step, **results})
        test = {'test_nll/nll': level + generator.normal(0, 0.1), 'test_nll/kind': 'exact'}
        folders.trial(folder, number, changes, lines, test)
        folders.picture(folders.workdir(folder, number) / 'samples/1000.png', 400)


if __name__ == '__main__':
    main()
