"""Does a class-conditional density know a new kind of a class that it has never seen?

Two classes, the digits 0 to 4 and 5 to 9, each of several kinds. One digit is left out of the
training data; which of the two classes is it given to? By Bayes' rule on a VAE given the class, on
one given the kind, whose densities are added up, and by networks trained to tell classes or kinds.
"""

from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from experiments.why_densities.common import cell, digits, network, trained, vae
from genjax.data import Arrays, Scale
from genjax.models import Classifier

STEPS = {'vae': 2000, 'network': 500}
ARMS = ('VAE given the class', 'VAE given the kind', 'network of classes', 'network of kinds')


def measure(out: Path, seed: int) -> list[dict]:
    """Shares of the left-out digit that are given to its class, one row for each digit."""
    parts = [digits(split) for split in ('train', 'validation', 'test')]
    x, label = (np.concatenate(each) for each in zip(*parts, strict=True))
    return [row for digit in range(10) for row in _without(out, seed, x, label, digit)]


def _without(out: Path, seed: int, x: np.ndarray, label: np.ndarray, digit: int) -> list[dict]:
    known = label != digit
    kinds = np.delete(np.arange(10), digit)
    targets = {'class': label // 5, 'kind': np.searchsorted(kinds, label)}
    rows = []
    for arm in ARMS:
        of, target = arm.split()[0].lower(), 'class' if 'class' in arm else 'kind'
        num = {'class': 2, 'kind': 9}[target]
        model = vae(num_classes=num) if of == 'vae' else Classifier(network(), num)
        data = Arrays(x=x[known], label=targets[target][known])
        name = f'{digit}-{of}-{target}'
        run = trained(out, name, seed, model, (Scale(),), STEPS[of], dataset=data)
        log_p = run.classify(x[~known])
        if target == 'kind':  # the class's log probability up to a constant, each kind as frequent
            log_p = np.stack([logsumexp(log_p[:, kinds // 5 == c], axis=1) for c in (0, 1)], 1)
        right = float(np.mean(np.argmax(log_p, axis=1) == digit // 5))
        rows.append({'part': 'kinds', 'seed': seed, 'arm': arm, 'digit': digit, 'right': right})
    return rows


def report(rows: list[dict]) -> str:
    """The table: shares by arm and digit."""
    lines = [f'| left out | {" | ".join(map(str, range(10)))} | mean |', '|---' * 12 + '|']
    for arm in ARMS:
        own = [row for row in rows if row['arm'] == arm]
        by_digit = [np.mean([r['right'] for r in own if r['digit'] == d]) for d in range(10)]
        seeds = sorted({row['seed'] for row in own})
        means = [
            {'right': np.mean([r['right'] for r in own if r['seed'] == seed])} for seed in seeds
        ]
        cells = ' | '.join(f'{share:.2f}' for share in by_digit)
        lines.append(f'| {arm} | {cells} | {cell(means, lambda row: row["right"])} |')
    return '\n'.join(lines)
