"""Variance of disentanglement between methods and between seeds, as a table and a plot.

python -m experiments.disentanglement.analyse [DIR]

With the folder of the sweeps, reads the runs and writes `results.json` beside this file; without,
reads that file. Draws `docs/images/disentanglement.png`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments import records
from experiments.disentanglement.sweep import METHODS, WORLDS
from genjax.reports.load import read

METRICS = ('mig', 'sap', 'disentanglement', 'completeness', 'informativeness', 'factor_vae')
NAMES = {'beta': 'β-VAE', 'beta_tc': 'β-TC-VAE', 'factor': 'FactorVAE'}
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'disentanglement.png'


class Components(NamedTuple):
    """One-way analysis of variance with random methods.

    Attributes:
        seeds: variance between the seeds of a method, the mean square within.
        methods: variance between methods beyond that, at least 0.
        f: ratio of the mean squares.
        p: probability of a ratio as large if methods do not matter.
    """

    seeds: float
    methods: float
    f: float
    p: float


def components(values: np.ndarray) -> Components:
    """Computes the components of variance of values [methods, seeds]."""
    from scipy.stats import f as f_distribution  # slow to import

    methods, seeds = values.shape
    within = float(values.var(axis=1, ddof=1).mean())
    between = seeds * float(values.mean(axis=1).var(ddof=1))
    ratio = between / within
    p = float(f_distribution.sf(ratio, methods - 1, methods * (seeds - 1)))
    return Components(within, max(0.0, (between - within) / seeds), ratio, p)


def best(values: np.ndarray) -> np.ndarray:
    """In how many seeds each method is the best, of values [methods, seeds]."""
    return np.bincount(values.argmax(axis=0), minlength=len(values))


def best_in_all(rows: Sequence[dict], world: str) -> np.ndarray:
    """In how many seeds each method is the best on every metric."""
    winners = np.stack([table(rows, world, metric).argmax(axis=0) for metric in METRICS])
    same = (winners == winners[0]).all(axis=0)
    return np.bincount(winners[0][same], minlength=len(METHODS))


def table(rows: Sequence[dict], world: str, metric: str, of: str = 'codes') -> np.ndarray:
    """Values [methods, seeds] of a metric of the codes, or after supervision."""
    return np.array(
        [
            [row[of][metric] for row in rows if (row['world'], row['method']) == (world, method)]
            for method in METHODS
        ]
    )


def collect(folder: Path) -> list[dict]:
    """Reads the results of all runs."""
    rows = []
    for world in WORLDS:
        for method in METHODS:
            trials = sorted(read(folder / f'{world}_{method}').trials, key=lambda each: each.seed)
            rows += [_row(world, method, trial) for trial in trials]
    return rows


def _row(world: str, method: str, trial) -> dict:
    def results(name: str, metrics: Sequence[str]) -> dict:
        found = {metric: trial.results[f'{name}/{metric}'] for metric in metrics}
        return {metric: round(value, 5) for metric, value in found.items()}

    return {
        'world': world,
        'method': method,
        'seed': trial.seed,
        'codes': results('codes', METRICS),
        'supervised': results('supervised', METRICS[:-1]),
        'bound': results('rate_distortion', ('rate', 'distortion')),
        'protocol': trial.results['codes/protocol'],
        'data': trial.data[:12],
        'steps': trial.steps,
        'seconds': round(trial.seconds, 1),
    }


def report(rows: Sequence[dict], world: str) -> str:
    """The table of a world."""
    names = ' | '.join(NAMES[method] for method in METHODS)
    lines = [
        f'| {world} | {names} | best in seeds | var. seeds | var. methods | F | p | 100 labels |',
        '|---' * (len(METHODS) + 7) + '|',
    ]
    for metric in METRICS:
        values = table(rows, world, metric)
        found = components(values)
        means = ' | '.join(records.spread(each, 3) for each in values)
        above = ' '
        if metric in METRICS[:-1]:
            above = f' {table(rows, world, metric, "supervised").mean():.3f} '
        lines.append(
            f'| {metric} | {means} | {", ".join(map(str, best(values)))} | {found.seeds:.2g} |'
            f' {found.methods:.2g} | {found.f:.1f} | {found.p:.1g} |{above}|'
        )
    counts = ', '.join(map(str, best_in_all(rows, world)))
    lines.append(f'| all of them {"| " * len(METHODS)}| {counts} {"| " * 5}|')
    for part in ('rate', 'distortion'):
        means = ' | '.join(f'{each.mean():.1f}' for each in table(rows, world, part, 'bound'))
        lines.append(f'| {part}, nats | {means} {"| " * 6}|')
    return '\n'.join(lines)


def plot(rows: Sequence[dict]) -> Figure:
    """Every run: a column of ten seeds for each method and metric."""
    figure = Figure(figsize=(9, 5.4), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, world in zip(figure.subplots(len(WORLDS), sharex=True), WORLDS, strict=True):
        for number, (method, colour) in enumerate(
            zip(METHODS, ('tab:blue', 'tab:orange', 'tab:green'), strict=True)
        ):
            places = np.arange(len(METRICS)) + 0.22 * (number - 1)
            for place, metric in zip(places, METRICS, strict=True):
                values = table(rows, world, metric)[number]
                spread = np.linspace(-0.07, 0.07, len(values))
                axes.plot(place + spread, values, '.', color=colour, alpha=0.7)
                axes.hlines(values.mean(), place - 0.09, place + 0.09, color=colour, lw=2)
            axes.plot([], [], '.', color=colour, label=NAMES[method])
        for place, metric in enumerate(METRICS[:-1]):
            value = table(rows, world, metric, 'supervised').mean()
            axes.hlines(value, place - 0.35, place + 0.35, color='0.3', lw=1, ls=':')
        axes.plot([], [], ':', color='0.3', label='after 100 labels (mean)')
        axes.set(ylabel=world, ylim=(0, 1.02))
        axes.set_xticks(range(len(METRICS)), METRICS)
        axes.grid(axis='y', alpha=0.25)
    axes.legend(frameon=False, fontsize=9, ncols=2, loc='upper left')
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dir', type=Path, nargs='?', help='folder of the sweeps')
    folder = parser.parse_args().dir
    if folder is not None:
        records.write_rows(RESULTS, collect(folder))
    rows = json.loads(RESULTS.read_text())
    for world in WORLDS:
        print(report(rows, world), end='\n\n')
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
