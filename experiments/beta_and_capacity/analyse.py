"""The rate–distortion curves of the sweep, as a table and a picture.

python -m experiments.beta_and_capacity.analyse DIR --out=docs/images/rate_distortion.png
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from genjax.reports.load import read
from genjax.reports.statistics import Estimate, Group, groups_of, outcome

SIZE, BETA = 'model.latent_dim', 'model.beta'
METRICS = {
    'rate': 'rate_distortion/rate',
    'distortion': 'rate_distortion/distortion',
    'IWAE-200': 'test_nll/nll',
}


def main() -> None:
    """Prints the table and draws the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dir', type=Path, help='the folder of the sweep')
    parser.add_argument('--out', type=Path, required=True, help='the picture')
    args = parser.parse_args()
    groups = groups_of(read(args.dir).trials, [SIZE, BETA])
    print('| size of the code | β | rate | distortion | −ELBO | NLL (IWAE-200) | seeds |')
    print('|---|---|---|---|---|---|---|')
    for group in groups:
        found = _estimates(group)
        rate, distortion = found['rate'], found['distortion']
        bound = rate.mean + distortion.mean
        print(
            f'| {group.settings[SIZE]} | {group.settings[BETA]:g} | {_text(rate)} |'
            f' {_text(distortion)} | {bound:.2f} | {_text(found["IWAE-200"])} | {rate.n} |'
        )
    _draw(groups).savefig(args.out, dpi=130)


def _estimates(group: Group) -> dict[str, Estimate]:
    return {name: outcome(group, metric).estimate for name, metric in METRICS.items()}


def _text(estimate: Estimate) -> str:
    return f'{estimate.mean:.2f} ± {estimate.stderr:.3f}'


def _draw(groups: list[Group]) -> Figure:
    figure = Figure(figsize=(7, 4.6), layout='constrained')
    axes = figure.subplots()
    for size in dict.fromkeys(group.settings[SIZE] for group in groups):
        own = [group for group in groups if group.settings[SIZE] == size]
        found = [_estimates(group) for group in own]
        axes.errorbar(
            [each['rate'].mean for each in found],
            [each['distortion'].mean for each in found],
            xerr=[each['rate'].stderr for each in found],
            yerr=[each['distortion'].stderr for each in found],
            marker='o', markersize=4, linewidth=1.2, label=f'{size} dimensions',
        )  # fmt: skip
    weights: dict[tuple[float, float], list[str]] = {}
    for group, each in zip(own, found, strict=True):  # of the largest code
        place = round(each['rate'].mean, 1), round(each['distortion'].mean, 1)
        weights.setdefault(place, []).append(f'{group.settings[BETA]:g}')
    for place, values in weights.items():
        text = f'β = {", ".join(values)}'
        axes.annotate(text, place, (7, 4), textcoords='offset points', fontsize=8, color='0.35')
    axes.margins(x=0.12)
    limits = axes.axis()
    for bound in range(22, 40, 2):
        axes.plot([0, 40], [bound, bound - 40], color='0.85', linewidth=0.7, zorder=0)
    axes.axis(limits)
    axes.text(0.02, 0.03, 'grey: equal ELBO', transform=axes.transAxes, fontsize=8, color='0.5')
    axes.set(xlabel='rate, nats', ylabel='distortion, nats')
    axes.set_title(
        'VAEs on the digits: test rate and distortion (bars: standard errors over seeds)',
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == '__main__':
    main()
