"""Is a discriminator more robust than a supervised network, automatically?

The same network is trained to tell digits apart, as the discriminator of a GAN whose classes are
the digits and a fake one, and as the encoder of a class-conditional VAE, which classifies by Bayes'
rule. Images are then changed by an attack that knows the model, or by noise.
"""

from pathlib import Path

from experiments.why_densities.common import SHAPE, accuracy, cell, network, trained, vae
from genjax.data import Corrupted, Digits, Scale
from genjax.evaluation import Adversarial
from genjax.models import GAN, Classifier

RADII = (0.05, 0.1, 0.2)
NOISE = (0.1, 0.3)  # standard deviations, as shares of the range
STEPS = 1000
ARMS = ('network', 'discriminator', 'VAE')


def measure(out: Path, seed: int) -> list[dict]:
    """Accuracies on test images as they are, attacked and with noise."""
    models = {
        'network': Classifier(network(), 10),
        'discriminator': GAN(
            generator=network(SHAPE),
            discriminator=network(()),
            latent_dim=16,
            generator_loss='feature_matching',
            num_classes=10,
            conditioning='k_plus_1',
        ),
        'VAE': vae(num_classes=10, eval_samples=4),
    }
    rows = []
    for arm, model in models.items():
        run = trained(out, arm.lower(), seed, model, (Scale(),), STEPS)
        attack = Adversarial(radii=RADII, draws=10 if arm == 'VAE' else 1)
        found = run.evaluate({'attack': attack})
        noisy = [accuracy(run, Corrupted(Digits(), 'noise', noise)) for noise in NOISE]
        rows.append(
            {
                'part': 'attacks',
                'seed': seed,
                'arm': arm,
                'clean': found['attack/accuracy'],
                'attacked': [found[f'attack/accuracy_{radius:g}'] for radius in RADII],
                'noisy': noisy,
            }
        )
    return rows


def report(rows: list[dict]) -> str:
    """The table: accuracies by arm, and the gain of the discriminator over the network."""
    heads = [f'attack of {radius:g}' for radius in RADII] + [f'noise of {n:g}' for n in NOISE]
    lines = [f'| trained as | clean | {" | ".join(heads)} |', '|---' * (2 + len(heads)) + '|']
    numbers = [
        lambda row: row['clean'],
        *(lambda row, i=i: row['attacked'][i] for i in range(len(RADII))),
        *(lambda row, i=i: row['noisy'][i] for i in range(len(NOISE))),
    ]
    by_arm = {arm: [row for row in rows if row['arm'] == arm] for arm in ARMS}
    for arm, own in by_arm.items():
        lines.append(f'| {arm} | {" | ".join(cell(own, number) for number in numbers)} |')
    pairs = list(zip(by_arm['discriminator'], by_arm['network'], strict=True))
    gains = [cell(pairs, lambda pair, f=f: f(pair[0]) - f(pair[1])) for f in numbers]
    lines.append(f'| discriminator − network | {" | ".join(gains)} |')
    return '\n'.join(lines)
