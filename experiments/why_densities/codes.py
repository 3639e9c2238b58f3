"""Is a code that reconstructs its image sufficient for telling what it shows?

The code of a flow loses nothing, that of a VAE much. A logistic regression on each says which is
of more use; pixels and a random projection stand beside them.
"""

from pathlib import Path

import numpy as np

from experiments.why_densities.common import SHAPE, cell, digits, trained, vae
from genjax.data import Dequantise, Digits, Logit, Scale
from genjax.data.labelled import labelled_rows
from genjax.evaluation.probe import fit_probe
from genjax.models import Flow, flow
from genjax.networks import MLP

DRAWS = 10
ALL = 0  # labels of all training images
COUNTS = (1, 10, ALL)  # labels of each class
CODES = ('pixels', 'random', 'flow', 'vae')


def model() -> Flow:
    """Six couplings of splines on flat images, as in `configs/digits/flow.py`."""
    coupling = flow.Coupling(network=MLP((128, 128)), transform=flow.Spline(bins=12, bound=3.0))
    layers = (coupling, flow.Reverse(), coupling, flow.Permute())
    stack = flow.Repeat(flow.Chain(layers), num=3)
    back = flow.Inverse(flow.Flatten(shape=SHAPE))
    return Flow(bijection=flow.Chain((flow.Flatten(shape=SHAPE), stack, back)), shape=SHAPE)


def measure(out: Path, seed: int) -> list[dict]:
    """Accuracies of the probes, and the error of reconstructions in levels of 255."""
    images, labels = zip(digits('train'), digits('test'), strict=True)
    runs = {
        'flow': trained(
            out, 'flow', seed, model(), (Dequantise(), Logit(alpha=0.05)), 300,
            steps_per_call=1, clip_norm=10.0,
        ),
        'vae': trained(out, 'vae', seed, vae(), (Scale(),), 3000),
    }  # fmt: skip
    flat = [x.reshape(len(x), -1) / 255 for x in images]
    projection = np.random.default_rng(seed).standard_normal((flat[0].shape[1], 16))
    codes = {'pixels': flat, 'random': [x @ projection for x in flat]}
    codes |= {name: [run.features(x) for x in images] for name, run in runs.items()}
    rows = []
    for name in CODES:
        row = {'part': 'codes', 'seed': seed, 'code': name, 'dimensions': codes[name][0].shape[1]}
        for count in COUNTS:
            found = [_accuracy(*codes[name], labels, count, draw) for draw in range(DRAWS)]
            row[f'accuracy_{count}'] = float(np.mean(found))
        if name in runs:
            back = runs[name].reconstruct(images[1])
            row['error'] = float(np.sqrt(np.mean((back.astype(float) - images[1]) ** 2)))
        rows.append(row)
    return rows


def _accuracy(
    train: np.ndarray, test: np.ndarray, labels: tuple[np.ndarray, ...], count: int, draw: int
) -> float:
    label = labels[0]
    kept = np.arange(len(label)) if count == ALL else labelled_rows(Digits(), label, count, draw)
    predict = fit_probe(train[kept], label[kept])
    return float(np.mean(predict(test) == labels[1]))


def report(rows: list[dict]) -> str:
    """The table: accuracies by code."""
    lines = [
        '| code | dimensions | error of reconstruction | 10 labels | 100 labels | all labels |'
    ]
    lines.append('|---' * 6 + '|')
    for name in CODES:
        own = [row for row in rows if row['code'] == name]
        error = cell(own, lambda row: row['error'], 1) if 'error' in own[0] else '–'
        cells = [cell(own, lambda row, c=c: row[f'accuracy_{c}']) for c in COUNTS]
        lines.append(f'| {name} | {own[0]["dimensions"]} | {error} | {" | ".join(cells)} |')
    return '\n'.join(lines)
