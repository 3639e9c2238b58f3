"""Do densities look at the shape, and are they robust where a part is hidden?

Bayes' rule on a class-conditional VAE, a convolutional network, and the same network trained with
noise, on test images of which a grey square hides a part. Then all are trained with stripes whose
direction tells the class as well as the shape does, and tested with stripes of another class.
"""

from pathlib import Path

import numpy as np

from experiments.why_densities.common import accuracy, cell, trained, vae
from genjax.data import Corrupted, Digits, Mutate, Scale
from genjax.models import Classifier
from genjax.networks import ConvNet

COVERED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # share of the area
STEPS = {'VAE': 2000, 'network': 600, 'network, noise': 600}
ARMS = tuple(STEPS)
NOISE = 0.1  # share of the pixels redrawn in training


def measure(out: Path, seed: int) -> list[dict]:
    """Accuracies by covered share, and with stripes of another class."""
    rows = []
    for arm in ARMS:
        hidden = _train(out, f'plain-{arm}', arm, seed, Digits())
        accuracies = [accuracy(hidden, Corrupted(Digits(), 'occluded', c)) for c in COVERED]
        striped = _train(out, f'striped-{arm}', arm, seed, Corrupted(Digits(), 'texture', 1.0))
        rows.append(
            {
                'part': 'cues',
                'seed': seed,
                'arm': arm,
                'covered': accuracies,
                'agreeing': accuracy(striped, Corrupted(Digits(), 'texture', 1.0)),
                'shape': accuracy(striped, Corrupted(Digits(), 'texture', 0.0)),
            }
        )
    return rows


def _train(out: Path, name: str, arm: str, seed: int, data):
    if arm == 'VAE':
        return trained(out, name, seed, vae(num_classes=10), (Scale(),), STEPS[arm], dataset=data)
    augment = (Mutate(NOISE),) if arm == 'network, noise' else ()
    model = Classifier(ConvNet((32, 64), pool=2), 10)
    return trained(
        out, name, seed, model, (Scale(),), STEPS[arm], dataset=data, augment=augment,
        steps_per_call=1,
    )  # fmt: skip


def report(rows: list[dict]) -> str:
    """The table: accuracies, their mean over the covered shares, and those by shape."""
    heads = ' | '.join(f'{100 * c:g} %' for c in COVERED)
    lines = [f'| covered | {heads} | mean | stripes agree | stripes of another class |']
    lines.append('|---' * (4 + len(COVERED)) + '|')
    for arm in ARMS:
        own = [row for row in rows if row['arm'] == arm]
        cells = [f'{np.mean([row["covered"][i] for row in own]):.3f}' for i in range(len(COVERED))]
        cells.append(cell(own, lambda row: np.mean(row['covered'])))
        cells += [cell(own, lambda row, key=key: row[key]) for key in ('agreeing', 'shape')]
        lines.append(f'| {arm} | {" | ".join(cells)} |')
    return '\n'.join(lines)
