"""Which scores of a likelihood model tell what is new?

    python -m experiments.novelty.run [--out=runs/novelty --omniglot=FOLDER] [--seeds 0 1 2]

With `--out`, trains densities, backgrounds and classifiers with each seed, scores images of their
own data set and of others, and writes `results.json` beside this file as each case ends; runs that
are there already are not trained again. Without, reads that file. Prints the tables and draws
`docs/images/novelty.png`. Needs the TFDS data `mnist` and `fashion_mnist` (docs/data.md), and in
FOLDER `images_background_small1.zip` and `images_background_small2.zip` of
https://github.com/brendenlake/omniglot.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import chi2, f

import genjax
from experiments import records
from experiments.novelty.models import FAMILIES, classifier, dataset, density, omniglot
from genjax.evaluation import Novelty, auroc, fpr_at, typicality
from genjax.training import Background

FIXED = 'ratio'  # the score chosen before any result
OTHERS = {'fashion_mnist': ('mnist',), 'mnist': ('omniglot', 'fashion_mnist')}
SCORES = {
    'vae': ('log_prob', 'typicality', 'complexity', 'ratio', 'regret', 'mahalanobis'),
    'pixelcnn': ('log_prob', 'typicality', 'complexity', 'ratio', 'mahalanobis'),
    'classifier': ('energy', 'mahalanobis'),
}
RATE = 0.3  # of the pixels redrawn for a background, as in docs/evaluation.md
IMAGES, REGRET_IMAGES = 1000, 100  # on each side
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'novelty.png'
NAMES = {'mnist': 'MNIST', 'fashion_mnist': 'Fashion', 'omniglot': 'Omniglot'}
NAMES |= {'vae': 'VAE', 'pixelcnn': 'PixelCNN', 'classifier': 'classifier'}


def trained(out: Path, data: str, family: str, seed: int, rate: float = 0.0) -> genjax.Run:
    """A run of this model, trained if it is not there."""
    config = classifier(data) if family == 'classifier' else density(family, data, rate)
    config.seed = seed
    background = f'-background-{rate:g}' if rate else ''
    return genjax.train(config, out / f'{data}-{family}{background}-{seed}')


def scored(run: genjax.Run, other, scores, background=None, num=IMAGES) -> dict[str, float]:
    """AUROC and FPR95 of scores of a run, its test images against those of another data set."""
    costly = {'regret': Novelty(other, ('regret',), min(num, REGRET_IMAGES))}
    cheap = tuple(score for score in scores if score != 'regret')
    evals = {'novelty': Novelty(other, cheap, num, background=background)}
    found = run.evaluate(evals | (costly if 'regret' in scores else {}))
    return {k.split('/')[1]: v for k, v in found.items() if not k.endswith('protocol')}


def measure(out: Path, folder: Path, seeds: list[int]) -> list[dict]:
    """Results of all cases: rows of a data set, another one, a model and a seed."""
    rows = []
    others = {'omniglot': omniglot(folder)}
    others |= {name: dataset(name) for name in OTHERS}
    for seed in seeds:
        for data in OTHERS:
            for family in (*FAMILIES, 'classifier'):
                begin, background = time.process_time(), None
                run = trained(out, data, family, seed)
                if family in FAMILIES:
                    background = Background(str(trained(out, data, family, seed, RATE).workdir))
                for other in OTHERS[data]:
                    row = {'data': data, 'other': other, 'model': family, 'seed': seed}
                    row |= scored(run, others[other], SCORES[family], background)
                    row['seconds'] = round(time.process_time() - begin)
                    begin = time.process_time()
                    rows.append(row)
                    print(json.dumps(row), flush=True)
                    records.write_rows(RESULTS, rows)
    return rows


def gaussians(num: int = 100_000, dim: int = 20, scale: float = 0.7) -> dict[str, float]:
    """AUROC and FPR95 between N(0, I) and N(0, scale² I) by log p and typicality under N(0, I), of
    samples and exact.
    """
    random = np.random.default_rng(0)
    inside, outside = (chi2(dim).rvs(num, random_state=random) * s for s in (1, scale**2))
    mean = -dim / 2  # of log p, up to a constant
    pair = [typicality(-square / 2, mean) for square in (inside, outside)]
    quantiles = (np.arange(4000) + 0.5) / 4000
    near, far = (np.abs(s * chi2(dim).ppf(quantiles) - dim) for s in (1, scale**2))
    return {
        'auroc_log_prob': auroc(inside, outside),
        'fpr95_log_prob': fpr_at(inside, outside),
        'auroc_typicality': auroc(*pair),
        'fpr95_typicality': fpr_at(*pair),
        'exact_auroc_log_prob': float(f(dim, dim).cdf(scale**2)),
        'exact_fpr95_log_prob': float(chi2(dim).cdf(chi2(dim).ppf(0.95) / scale**2)),
        'exact_auroc_typicality': auroc(near, far),
        'exact_fpr95_typicality': fpr_at(near, far),
    }


def cases() -> list[tuple[str, str]]:
    """Pairs of a data set and another one."""
    return [(data, other) for data, others in OTHERS.items() for other in others]


def values(rows: list[dict], data: str, other: str, model: str, key: str) -> np.ndarray:
    """A result of all seeds; empty if there is none."""
    wanted = {'data': data, 'other': other, 'model': model}
    return np.array([r[key] for r in rows if wanted.items() <= r.items() and key in r])


def report(rows: list[dict]) -> str:
    """The tables: mean ± standard deviation over the seeds."""

    def cell(*args) -> str:
        found = values(rows, *args)
        return records.spread(found, 3) if len(found) else '–'

    lines = []
    for key, title in (('auroc', 'AUROC'), ('fpr95', 'FPR95')):
        head = [f'{NAMES[data]} → {NAMES[other]}' for data, other in cases()]
        lines += [f'| {title} | score | {" | ".join(head)} |', '|---' * 5 + '|']
        for model, scores in SCORES.items():
            for score in scores:
                cells = [cell(*pair, model, f'{key}_{score}') for pair in cases()]
                lines.append(f'| {NAMES[model]} | {score} | {" | ".join(cells)} |')
        lines.append('')
    world = gaussians()
    lines += ['| N(0, I₂₀) → N(0, .7² I₂₀) | samples | exact |', '|---' * 3 + '|']
    for score in ('log_prob', 'typicality'):
        for key in ('auroc', 'fpr95'):
            found, exact = world[f'{key}_{score}'], world[f'exact_{key}_{score}']
            lines.append(f'| {key.upper()} of {score} | {found:.4f} | {exact:.4f} |')
    return '\n'.join(lines)


def plot(rows: list[dict]) -> Figure:
    """AUROC by score, a panel for each pair; a dot for each seed."""
    figure = Figure(figsize=(9, 4), layout='constrained')
    FigureCanvasAgg(figure)
    labels = [(model, score) for model, scores in SCORES.items() for score in scores][::-1]
    colours = {'vae': 'C0', 'pixelcnn': 'C1', 'classifier': 'C2'}
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (data, other) in zip(panels, cases(), strict=True):
        for place, (model, score) in enumerate(labels):
            found = values(rows, data, other, model, f'auroc_{score}')
            marker = 'D' if score == FIXED else 'o'
            axes.plot(found, np.full(len(found), place), marker, color=colours[model], alpha=0.7)
        axes.axvline(0.5, color='grey', linewidth=1)
        axes.axvline(0.9, color='grey', linewidth=1, linestyle=':')
        axes.set(xlim=(-0.03, 1.03), xlabel='AUROC', title=f'{NAMES[data]} → {NAMES[other]}')
        axes.grid(axis='y', alpha=0.3)
    texts = [f'{NAMES[model]}, {score}' for model, score in labels]
    panels[0].set_yticks(range(len(labels)), texts, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--omniglot', type=Path, help='folder of the two zip files; with --out')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if args.out is not None:
        if args.omniglot is None:
            parser.error('--out needs --omniglot=FOLDER')
        measure(args.out, args.omniglot, args.seeds)
    rows = json.loads(RESULTS.read_text())
    print(report(rows))
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
