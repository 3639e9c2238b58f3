"""Which settings keep the modes, as a table and a picture.

python -m experiments.gan_stability.analyse RING GRID --out=docs/images/gan_stability.png
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from genjax.reports.load import Trial, read

LIMITS = {'ring': 0.07, 'grid': 0.04}
"""The reverse KL, in nats, above which a run counts as collapsed (what Lin et al., 2018, reach with
PacGAN2); so does one that has a mode without a sample of high quality.
"""

Settings = tuple[str, str]


def main() -> None:
    """Prints a table for each mixture and draws them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for layout in LIMITS:
        parser.add_argument(layout, type=Path, help=f'the folder of the sweep over the {layout}')
    parser.add_argument('--out', type=Path, required=True, help='the picture')
    args = parser.parse_args()
    figure = Figure(figsize=(10, 5.2), layout='constrained')
    panels = figure.subplots(1, len(LIMITS), sharey=True)
    for axes, (layout, limit) in zip(panels, LIMITS.items(), strict=True):
        cells = _cells(read(getattr(args, layout)).trials)
        print(f'\n{layout}: modes; reverse KL, nats; collapsed runs\n')
        _print(cells, limit)
        _draw(axes, cells, layout, limit)
    figure.suptitle('mean reverse KL over seeds, nats (in brackets: collapsed runs)', fontsize=11)
    figure.savefig(args.out, dpi=120)


def _cells(trials: list[Trial]) -> dict[Settings, dict[Settings, list[Trial]]]:
    """The runs by row (loss, regulariser) and column (critic steps, learning rate)."""
    cells: dict = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        fields = trial.fields
        regulariser = 'R1' if fields['model.r1'] else 'none'
        regulariser = 'GP' if fields['model.gradient_penalty'] else regulariser
        rate = fields['optimizer.generator.learning_rate']
        row = fields['model.loss'].replace('_', '-'), regulariser
        cells[row][f'{fields["model.num_critic"]}', f'{rate:g}'].append(trial)
    return cells


def _figures(trials: list[Trial]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Modes, reverse KL and how many modes there are, of the runs that are complete."""
    names = ('modes', 'reverse_kl', 'num_modes')
    done = [trial.results for trial in trials if trial.status == 'complete']
    return tuple(np.array([results[f'modes/{name}'] for results in done]) for name in names)


def _collapsed(trials: list[Trial], limit: float) -> int:
    """How many lost a mode, are too uneven, or failed."""
    modes, kl, num_modes = _figures(trials)
    return int(np.sum((modes < num_modes) | (kl > limit))) + len(trials) - len(kl)


def _print(cells: dict[Settings, dict[Settings, list[Trial]]], limit: float) -> None:
    columns = list(next(iter(cells.values())))
    print('| loss | regulariser |', *(f'{n} critic, lr {rate} |' for n, rate in columns))
    print('|---|---|' + '---|' * len(columns))
    for row, found in cells.items():
        texts = []
        for column in columns:
            modes, kl, _ = _figures(found[column])
            error = kl.std(ddof=1) / np.sqrt(len(kl))
            lost = f'{_collapsed(found[column], limit)}/{len(found[column])}'
            texts.append(f'{modes.mean():.1f}; {kl.mean():.4f} ± {error:.4f}; {lost}')
        print('|', ' | '.join([*row, *texts]), '|')


def _draw(
    axes: Axes, cells: dict[Settings, dict[Settings, list[Trial]]], layout: str, limit: float
) -> None:
    columns = list(next(iter(cells.values())))
    means = np.array([[_figures(row[c])[1].mean() for c in columns] for row in cells.values()])
    axes.imshow(means, norm=LogNorm(3e-4, 1), cmap='viridis_r', aspect='auto')
    for y, row in enumerate(cells.values()):
        for x, column in enumerate(columns):
            text = f'{means[y, x]:.1g} ({_collapsed(row[column], limit)}/{len(row[column])})'
            colour = 'white' if means[y, x] > 0.02 else 'black'
            axes.text(x, y, text, ha='center', va='center', fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), [f'{n} critic\nlr {rate}' for n, rate in columns])
    axes.set_yticks(range(len(cells)), [f'{loss}, {regulariser}' for loss, regulariser in cells])
    axes.tick_params(length=0, labelsize=8)
    axes.set_title(layout, fontsize=10)


if __name__ == '__main__':
    main()
