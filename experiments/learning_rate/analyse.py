"""The bound by learning rate and optimizer, as a table and a picture.

python -m experiments.learning_rate.analyse DIR --out=docs/images/learning_rate.png
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from genjax.reports.load import read
from genjax.reports.statistics import groups_of, outcome

RATE, METRIC = 'optimizer.learning_rate', 'nll/nll'
OPTIMIZERS = ('adamw', 'muon', 'schedule_free')


def main() -> None:
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dir', type=Path, help='the folder of the sweeps, by optimizer')
    parser.add_argument('--out', type=Path, required=True, help='the picture')
    args = parser.parse_args()
    figure = Figure(figsize=(6, 4), layout='constrained')
    axes, rows = figure.subplots(), {}
    for optimizer in OPTIMIZERS:
        groups = groups_of(read(args.dir / optimizer).trials, [RATE])
        found = [outcome(group, METRIC).estimate for group in groups]
        for group, each in zip(groups, found, strict=True):
            rows.setdefault(group.settings[RATE], {})[optimizer] = each
        axes.errorbar(
            [group.settings[RATE] for group in groups],
            [each.mean for each in found],
            yerr=[each.stderr for each in found],
            marker='o', markersize=4, label=optimizer,
        )  # fmt: skip
    axes.set(xscale='log', xlabel='learning rate', ylabel='NLL, nats (IWAE-50)', ylim=(21, 40))
    axes.set_title('Digits VAE after 500 steps, validation, 3 seeds', fontsize=10)
    axes.legend(frameon=False)
    figure.savefig(args.out, dpi=130)
    print(f'| learning rate | {" | ".join(OPTIMIZERS)} |')
    print('|---|---|---|---|')
    for rate, found in rows.items():
        cells = (f'{found[name].mean:.2f} ± {found[name].stderr:.2f}' for name in OPTIMIZERS)
        print(f'| {rate:g} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
