"""Detectors of the samples of one family, tested on those of all families.

python -m experiments.detection.analyse [DIR]

With the folder of the sweeps, draws samples of every run, trains the detectors and writes
`results.json` beside this file; without, reads that file. Draws `docs/images/detection.png`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import genjax
from experiments import records
from experiments.detection.detector import Convolutional
from experiments.detection.sweep import FAMILIES
from genjax.data import TFDS
from genjax.evaluation import cross_generator_ap
from genjax.reports.load import read

NAMES = {
    'vae': 'VAE',
    'gan': 'GAN',
    'made': 'MADE',
    'flow': 'RealNVP',
    'diffusion': 'diffusion',
    'matching': 'flow matching',
}
NUM = 4000
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'detection.png'


def samples(folder: Path, family: str) -> dict[int, np.ndarray]:
    """Samples uint8 [NUM, 28, 28, 1], 0 and 255, of the runs of a family, by seed; kept in the
    folder.
    """
    found = {}
    for trial in read(folder / family).trials:
        path = trial.workdir / f'samples_{NUM}.npy'
        if not path.exists():
            drawn = genjax.load(trial.workdir).sample(NUM, batch_size=1000)
            np.save(path, np.where(drawn > 0, 255, 0).astype(np.uint8))
        found[trial.seed] = np.load(path)
    return found


def held_out() -> np.ndarray:
    """Images that no generator was trained on."""
    data = TFDS('binarized_mnist')
    source = data.source('test')
    return source[np.arange(NUM)]['x']


def measure(folder: Path) -> list[dict]:
    """The table of every seed."""
    drawn = {family: samples(folder, family) for family in FAMILIES}
    real, rows = held_out(), []
    for seed in sorted(drawn[FAMILIES[0]]):
        generated = {family: each[seed] for family, each in drawn.items()}
        table = cross_generator_ap(real, generated, learner=Convolutional, seed=seed)
        rows.append({'seed': seed, 'samples': NUM, 'ap': table})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def matrix(row: dict) -> np.ndarray:
    """Average precision [trained on, tested on] of a seed."""
    return np.array([[row['ap'][one][other] for other in FAMILIES] for one in FAMILIES])


def report(rows: Sequence[dict]) -> str:
    """Mean over the seeds and standard deviation of each cell; and the drop of each detector."""
    tables = np.stack([matrix(row) for row in rows])
    drop = drops(tables.mean(axis=0)).mean(axis=1)
    lines = [
        f'| trained on | {" | ".join(NAMES[each] for each in FAMILIES)} | mean drop |',
        '|---' * (len(FAMILIES) + 2) + '|',
    ]
    for number, family in enumerate(FAMILIES):
        cells = (records.spread(each, 3) for each in tables[:, number].T)
        lines.append(f'| {NAMES[family]} | {" | ".join(cells)} | {drop[number]:.3f} |')
    return '\n'.join(lines)


def drops(table: np.ndarray) -> np.ndarray:
    """Drops in average precision on the samples of other families, [G, G - 1]: the diagonal of a
    table [trained on, tested on] minus the other cells of each row.
    """
    others = ~np.eye(len(table), dtype=bool)
    return (np.diag(table)[:, None] - table)[others].reshape(len(table), -1)


def plot(rows: Sequence[dict]) -> Figure:
    """Heat map of the mean over the seeds."""
    mean = np.mean([matrix(row) for row in rows], axis=0)
    figure = Figure(figsize=(5.6, 4.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(mean, vmin=0.3, vmax=1, cmap='viridis')
    for (row, column), value in np.ndenumerate(mean):
        colour = 'black' if value > 0.75 else 'white'
        axes.text(column, row, f'{value:.2f}', ha='center', va='center', color=colour)
    names = [NAMES[each] for each in FAMILIES]
    axes.set_xticks(range(len(names)), names, rotation=30, ha='right')
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel='tested on samples of', ylabel='detector trained on samples of')
    figure.colorbar(image, label='average precision (chance: .5)')
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('dir', type=Path, nargs='?', help='folder of the sweeps')
    folder = parser.parse_args().dir
    if folder is not None:
        records.write_rows(RESULTS, measure(folder))
    rows = json.loads(RESULTS.read_text())
    print(report(rows))
    found = [drops(matrix(row)) for row in rows]
    print('mean drop by seed:', ', '.join(f'{each.mean():.3f}' for each in found))
    print('smallest drop by seed:', ', '.join(f'{each.min():.3f}' for each in found))
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
