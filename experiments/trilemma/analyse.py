"""The corners of the trilemma that each family has, and a plot.

python -m experiments.trilemma.analyse runs/trilemma/digits runs/trilemma/avatars \
    --out=docs/images/trilemma.png --json=experiments/trilemma/results.json
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.trilemma import avatars, digits
from genjax.config import build
from genjax.data.pipeline import random_subset
from genjax.evaluation import frechet_distance, prdc
from genjax.files import write_json
from genjax.reports.load import Trial, read

TABLE = (
    'fd/distance', 'prdc/precision', 'prdc/recall', 'prdc/coverage', 'copying/z',
    'likelihood/bits_per_dim', 'speed/network_evaluations', 'speed/gflops_per_sample',
)  # fmt: skip
METRICS = (
    *TABLE, 'kid/kid', 'prdc/density', 'vendi/vendi', 'vendi/vendi_data', 'copying/authenticity',
    'copying/authenticity_data', 'speed/samples_per_s', 'speed/parameters',
)  # fmt: skip

CORNERS = {
    'quality': ('fd/distance', -1),
    'diversity': ('prdc/recall', 1),
    'speed': ('speed/gflops_per_sample', -1),
}
"""The result by which a corner is judged, and the sign of what is better."""

Values = dict[str, dict[str, np.ndarray]]
"""Family -> metric -> a value a seed, in the order of the seeds."""


def main() -> None:
    """Prints tables and verdicts, and writes results and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folders', type=Path, nargs='+', help='of the sweeps of a data set each')
    parser.add_argument('--out', type=Path, required=True, help='the plot')
    parser.add_argument('--json', type=Path, required=True, help='the results of all seeds')
    args = parser.parse_args()
    figure = Figure(figsize=(10, 4.2 * len(args.folders)), layout='constrained')
    panels = figure.subplots(len(args.folders), 2, squeeze=False)
    content = {}
    for folder, row in zip(args.folders, panels, strict=True):
        trials = [trial for trial in read(folder).trials if trial.status == 'complete']
        values = values_of(trials)
        real = real_data(folder.name, len(values['vae']['fd/distance']))
        print(f'\n## {folder.name}\n')
        show({**values, '(training images)': real})
        print()
        for line in verdicts(values):
            print(line)
        for axes, corner in zip(row, ('quality', 'diversity'), strict=True):
            draw(axes, values, corner)
            axes.set_title(folder.name, fontsize=11)
        content[folder.name] = {
            'results': {f: {m: list(v) for m, v in found.items()} for f, found in values.items()},
            'kinds': {t.fields['sweep']: t.results.get('likelihood/kind') for t in trials},
            'steps': {t.fields['sweep']: t.steps for t in trials},
            'protocol': trials[0].results['fd/protocol'],
            'data': trials[0].data,
            'device': trials[0].starts[-1]['devices'],
            'packages': trials[0].starts[-1]['packages'],
        }
    write_json(args.json, content)
    figure.savefig(args.out, dpi=120)


def values_of(trials: list[Trial]) -> Values:
    """The results of complete trials, by family."""
    values: Values = {}
    for family in dict.fromkeys(trial.fields['sweep'] for trial in trials):
        done = sorted((t for t in trials if t.fields['sweep'] == family), key=lambda t: t.seed)
        values[family] = {
            metric: np.array([trial.results[metric] for trial in done])
            for metric in METRICS
            if all(trial.results.get(metric) is not None for trial in done)
        }
    return values


def real_data(data: str, num: int) -> dict[str, np.ndarray]:
    """Results of training images in place of samples, for `num` random draws."""
    study = {'digits': digits, 'avatars': avatars}[data]
    experiment = build(study.config('vae', 50))
    evaluator, dataset = experiment.evals['fd'], experiment.dataset
    features, _ = evaluator.features.of(dataset)
    train, test = (dataset.source(split) for split in ('train', 'test'))
    rows = random_subset(len(test), evaluator.num_samples)
    real = features(test[rows]['x'])
    found = []
    for seed in range(num):
        drawn = np.random.RandomState(seed).permutation(len(train))[: evaluator.num_samples]
        fake = features(train[np.sort(drawn)]['x'])
        manifolds = prdc(real, fake)
        found.append((frechet_distance(real, fake), *manifolds))
    names = 'fd/distance', *(f'prdc/{name}' for name in manifolds._fields)
    return dict(zip(names, np.array(found).T, strict=True))


def show(values: Values) -> None:
    """Prints means and standard errors over seeds."""
    print('| family |', *(f'{metric.rpartition("/")[2]} |' for metric in TABLE))
    print('|---|' + '---|' * len(TABLE))
    for family, found in values.items():
        print(f'| {family} |', *(f'{_mean(found.get(metric))} |' for metric in TABLE))


def _mean(found: np.ndarray | None) -> str:
    if found is None:
        return ''
    error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan
    return f'{found.mean():.4g} ± {error:.2g}' if error > 0 else f'{found.mean():.4g}'


def front(values: Values, seed: int) -> list[str]:
    """The families of a seed that no other equals or beats in all three corners."""
    scores = {
        family: [sign * found[metric][seed] for metric, sign in CORNERS.values()]
        for family, found in values.items()
    }
    return [
        family
        for family, own in scores.items()
        if not any(
            all(o >= s for o, s in zip(other, own, strict=True)) and other != own
            for other in scores.values()
        )
    ]


def verdicts(values: Values) -> list[str]:
    """The two falsifiers, seed by seed, and the ranks of the families in each corner."""
    num = min(len(found['fd/distance']) for found in values.values())
    recall = 'prdc/recall'
    gan, vae = (values[family][recall][:num] for family in ('gan', 'vae'))
    fronts = [front(values, seed) for seed in range(num)]
    on_front = {family: sum(family in found for found in fronts) for family in values}
    lines = [
        f'recall of the GAN not below that of the VAE: {int(np.sum(gan >= vae))} of {num} seeds',
        f'seeds on the front of all three corners: {on_front}',
    ]
    for corner, (metric, sign) in CORNERS.items():
        ranked = sorted(values, key=lambda f: -sign * values[f][metric].mean())
        lines.append(f'{corner} ({metric}), best first: {", ".join(ranked)}')
    return lines


def draw(axes: Axes, values: Values, corner: str) -> None:
    """Draws a corner against the operations for a sample: a point a seed."""
    metric, _ = CORNERS[corner]
    cost = CORNERS['speed'][0]
    for family, found in values.items():
        colour = f'C{digits.FAMILIES.index(family)}'
        axes.plot(found[cost], found[metric], 'o', color=colour, alpha=0.35, markersize=5)
        middle = found[cost].mean(), found[metric].mean()
        axes.plot(*middle, 'o', color=colour)
        side = -1 if family in ('vae', 'gan', 'flow_matching') else 1
        axes.annotate(
            family.replace('_', ' '), middle, xytext=(8 * side, 0), textcoords='offset points',
            ha='left' if side > 0 else 'right', va='center', fontsize=9, color=colour,
        )  # fmt: skip
    axes.set(xscale='log', xlabel='GFLOP a sample')
    axes.margins(x=0.35, y=0.1)
    if corner == 'quality':
        axes.set(yscale='log', ylabel='Fréchet distance (quality: low is good)')
    else:
        axes.set(ylabel='recall (diversity: high is good)')
    axes.grid(alpha=0.25, linewidth=0.6)


if __name__ == '__main__':
    main()
