"""Do the images without labels help a classifier, and in one training or in two?

*Separate*: a classifier learns from the labelled images alone. *In two stages*: it begins as the
encoder of a VAE of all images. *Jointly*: it is that of M2, which models all images.
"""

from pathlib import Path

import numpy as np

from experiments.why_densities.common import BATCH, SHAPE, cell, digits, network, trained, vae
from genjax.data import Digits, Scale, SemiSupervised
from genjax.models import Classifier, SemiSupervisedVAE
from genjax.networks import MLP
from genjax.training import Start

COUNTS = (1, 10, 50)  # labels of each class
STEPS = {'vae': 3000, 'classifier': 300, 'joint': 2000}
ARMS = ('separate', 'two stages', 'joint')


def measure(out: Path, seed: int) -> list[dict]:
    """Test accuracies; the draws of the labels are those of the seed too."""
    trained(out, 'vae', seed, vae(), (Scale(),), STEPS['vae'])
    warm = (Start(str(out / f'vae-{seed}'), groups={'network': 'encoder/network'}),)
    x, label = digits('test')
    rows = []
    for count in COUNTS:
        few = SemiSupervised(Digits(), per_class=count, seed=seed, share=1.0)
        mixed = SemiSupervised(Digits(), per_class=count, seed=seed, share=0.2)
        classifier = {'dataset': few, 'batch_size': min(BATCH, 10 * count)}
        begun = {**classifier, 'start': warm}
        for arm, model, steps, options in (
            ('separate', Classifier(network(), 10), STEPS['classifier'], classifier),
            ('two stages', Classifier(network(), 10), STEPS['classifier'], begun),
            ('joint', _m2(), STEPS['joint'], {'dataset': mixed}),
        ):
            run = trained(
                out, f'{arm.split()[0]}-{count}', seed, model, (Scale(),), steps, **options
            )
            accuracy = float(np.mean(np.argmax(run.classify(x), axis=1) == label))
            row = {'part': 'labels', 'seed': seed, 'arm': arm, 'labels': 10 * count}
            rows.append({**row, 'accuracy': accuracy})
    return rows


def _m2() -> SemiSupervisedVAE:
    """Its bound is computed for ten classes: narrow networks beside the classifier."""
    return SemiSupervisedVAE(
        encoder=MLP((100,), activation='silu'),
        decoder=MLP((100,), shape=SHAPE, activation='silu'),
        latent_dim=16,
        num_classes=10,
        classifier=network(),
        alpha=10.0,
    )


def report(rows: list[dict]) -> str:
    """The table: accuracies by arm and number of labels."""
    heads = ' | '.join(f'{10 * count} labels' for count in COUNTS)
    lines = [f'| training | {heads} |', '|---' * (1 + len(COUNTS)) + '|']
    for arm in ARMS:
        cells = [
            cell(
                [row for row in rows if (row['arm'], row['labels']) == (arm, 10 * count)],
                lambda row: row['accuracy'],
            )
            for count in COUNTS
        ]
        lines.append(f'| {arm} | {" | ".join(cells)} |')
    return '\n'.join(lines)
