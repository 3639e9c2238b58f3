"""Planted copies: from which share of copied training rows on do the tests notice?

    python -m experiments.copying.planted --out=runs/copying

Takes held-out MNIST images as samples of a perfect model, replaces a share of them by training
images, and computes the tests of `genjax.evaluation` on 64 principal components. Needs TFDS data
`mnist` (docs/data.md). Writes `planted.json` and draws `docs/images/copying.png`.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments import records
from genjax import evaluation
from genjax.data import TFDS

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SEEDS = range(5)
TRAIN, SAMPLES = 10_000, 2_000
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'copying.png'


def measure() -> list[dict]:
    """Results of every share and seed."""
    data = TFDS('mnist')
    features, name = evaluation.PCA(64).of(data)
    whole = {split: data.source(split) for split in ('train', 'test')}
    rows = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        chosen = random.permutation(len(whole['train']))[:TRAIN]
        train = features(whole['train'][chosen]['x'])
        order = random.permutation(len(whole['test']))
        test, fresh = (
            features(whole['test'][order[start : start + SAMPLES]]['x']) for start in (0, SAMPLES)
        )
        for share in SHARES:
            samples = fresh.copy()
            num = round(share * SAMPLES)
            samples[:num] = train[:num]
            found = evaluation.copying_z(train, test, samples)
            row = {
                'features': name,
                'seed': seed,
                'share': share,
                'z': found.z,
                'of_bound': found.z / found.bound,
                'p': found.p,
                'c_t': evaluation.copying_ct(train, test, samples)[0],
                'authenticity': evaluation.authenticity(train, samples),
                'frechet': evaluation.frechet_distance(test, samples),
                **evaluation.prdc(test, samples)._asdict(),
            }
            rows.append(row)
            print(f'{seed}  {share:4.0%}  z {row["z"]:7.2f}  FD {row["frechet"]:.4f}', flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Means over the seeds; FD relative to that without copies, by seed."""
    clean = {row['seed']: row['frechet'] for row in rows if row['share'] == 0}
    lines = [
        '| copies | Z_U | of its bound | largest p | C_T | authentic | FD, change | recall |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for share in SHARES:
        part = [row for row in rows if row['share'] == share]
        mean = {
            name: np.mean([row[name] for row in part]) for name in part[0] if name != 'features'
        }
        change = [row['frechet'] / clean[row['seed']] - 1 for row in part]
        lines.append(
            f'| {share:.0%} | {mean["z"]:.1f} | {mean["of_bound"]:.3f} |'
            f' {max(row["p"] for row in part):.1g} | {mean["c_t"]:.1f} |'
            f' {mean["authenticity"]:.3f} | {np.mean(change):+.1%} |'
            f' {mean["recall"]:.3f} |'
        )
    return '\n'.join(lines)


def plot(rows: list[dict]) -> None:
    """Z_U as a share of its bound, and the change of FD, against the share of copies."""
    clean = {row['seed']: row['frechet'] for row in rows if row['share'] == 0}
    figure = Figure(figsize=(6, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for seed in SEEDS:
        part = [row for row in rows if row['seed'] == seed and row['share'] > 0]
        shares = [row['share'] for row in part]
        axes.plot(shares, [row['of_bound'] for row in part], 'o-', color='tab:red', ms=3, lw=1)
        change = [abs(row['frechet'] / clean[seed] - 1) for row in part]
        axes.plot(shares, change, 's-', color='tab:blue', ms=3, lw=1)
    axes.plot([], [], 'o-', color='tab:red', label='Z_U as a share of its bound')
    axes.plot([], [], 's-', color='tab:blue', label='relative change of the Fréchet distance')
    axes.set(xscale='log', xlabel='share of copies', ylim=(-0.05, 1.05))
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(IMAGE, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('runs/copying'))
    rows = records.once(parser.parse_args().out / 'planted.json', measure)
    print(table(rows))
    plot(rows)


if __name__ == '__main__':
    main()
