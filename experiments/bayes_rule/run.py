"""Bayes' rule on 784 dimensions, beside a discriminative network, with the option to reject.

    python -m experiments.bayes_rule.run [--out=runs/bayes_rule] [--seeds 0 1 2]

With `--out`, trains a class-conditional VAE and a convolutional classifier with each seed, scores
the test images of MNIST and images of Fashion-MNIST, and writes `results.json` beside this file;
what is done already is not done again. Without, reads that file. Prints the tables and draws
`docs/images/bayes_rule.png`. Needs the TFDS data `mnist` and `fashion_mnist` (docs/data.md).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import optax
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.special import log_softmax, logsumexp, softmax

import genjax
from experiments import records
from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain, Digits, Scale
from genjax.data.pipeline import random_subset
from genjax.evaluation import aurc, risk_at, risk_coverage
from genjax.evaluation.accuracy import brier_score, calibration_error
from genjax.files import replacing
from genjax.models import VAE, BayesClassifier, Classifier
from genjax.models.classes import adapt_prior
from genjax.networks import MLP, ConvNet
from genjax.training import Experiment

MODELS = ('vae', 'cnn')
COVERAGES = (1.0, 0.95, 0.9, 0.8)
SAMPLES = 32  # of the bound, for each class
TEMPERATURE = 5.0
HELD_OUT, TEST, INTRUDERS = 1000, 10_000, 1000  # examples
SHIFT = 0.8  # share of zeros among the test images with a moved prior
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'bayes_rule.png'


def vae(steps: int = 10_000, data: str = 'mnist', width: int = 400):
    """A VAE of binarised images given the digit."""
    shape, net = _shape(data), {'activation': 'silu'}
    model = VAE(
        encoder=MLP((width, width), **net),
        decoder=MLP((width, width), shape=shape, **net),
        latent_dim=16,
        num_classes=10,
        eval_samples=SAMPLES,
    )
    return _experiment(model, Binarise(), steps, 200, 2e-3, data)


def cnn(steps: int = 700, data: str = 'mnist'):
    """Two convolutional layers with pooling."""
    return _experiment(Classifier(ConvNet((16, 32), pool=2), 10), Scale(), steps, 128, 3e-3, data)


def _experiment(model, step, steps: int, batch_size: int, rate: float, data: str):
    steps = FieldReference(steps)
    mnist = TFDS('mnist', train='train[:59000]', validation='train[59000:]')
    return spec(
        Experiment,
        dataset={'mnist': mnist, 'digits': Digits()}[data],
        preprocess=Chain((step,)),
        model=model,
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, rate, steps)),
        steps=steps,
        steps_per_call=10 if isinstance(model, VAE) else 1,  # convolutions in a loop are slow
        batch_size=batch_size,
        ema=(0.999,),
        log_every=500,
        checkpoint_every=0,
    )


def _shape(data: str) -> tuple[int, ...]:
    return {'mnist': (28, 28, 1), 'digits': (8, 8, 1)}[data]


def scores(name: str, seed: int, out: Path) -> dict[str, np.ndarray]:
    """Class logits [N, 10] of the two test sets and of held-out images, with labels: trains the
    model and applies it, if that is not done.
    """
    record = out / f'{name}-{seed}.npz'
    if not record.exists():
        config = {'vae': vae, 'cnn': cnn}[name]()
        config.seed = seed
        begin = time.process_time()
        run = genjax.train(config, out / f'{name}-{seed}')
        trained = time.process_time()
        parts = {}
        mnist, fashion = run.experiment.dataset, TFDS('fashion_mnist')
        for part, source, num in (
            ('held_out', mnist.source('validation'), HELD_OUT),
            ('test', mnist.source('test'), TEST),
            ('intruders', fashion.source('test'), INTRUDERS),
        ):
            examples = source[random_subset(len(source), num)]
            parts[f'{part}_label'] = examples['label']
            parts[f'{part}_logits'] = logits_of(run, examples['x'])
        parts['seconds'] = np.array([trained - begin, time.process_time() - trained])
        with replacing(record) as temporary, temporary.open('wb') as file:
            np.savez(file, **parts)
    return dict(np.load(record))


def logits_of(run: genjax.Run, x: np.ndarray) -> np.ndarray:
    """Class logits float64 [N, 10]; of the VAE log p(x | class)."""
    model = run.model if isinstance(run.model, Classifier) else BayesClassifier(run.model)
    found = genjax.sampling.classify(model, run.experiment.preprocess, run.variables, x)
    return found.astype(np.float64)


def results_of(parts: dict[str, np.ndarray], generative: bool) -> dict:
    """All results of one model and seed."""
    logits, label = parts['test_logits'], parts['test_label']
    found = {'seconds': parts['seconds'].round().tolist()}
    for temperature in (1.0, TEMPERATURE) if generative else (1.0,):
        log_p = log_softmax(logits / temperature, axis=1)
        p, right = np.exp(log_p), np.argmax(log_p, axis=1) == label
        found[f'temperature_{temperature:g}'] = {
            'accuracy': float(right.mean()),
            'nll': float(-log_p[np.arange(len(label)), label].mean()),
            'ece': calibration_error(p.max(axis=1), right),
            'brier': brier_score(p, label),
        }
    wrong = np.argmax(logits, axis=1) != label
    found['rejecting'] = _selective(doubt(logits), wrong)
    # Whatever is said of an intruder is wrong.
    both = np.concatenate([logits, parts['intruders_logits']])
    wrong = np.concatenate([wrong, np.ones(len(parts['intruders_logits']), bool)])
    found['posterior'] = _selective(doubt(both), wrong)
    # First those that are less likely than all but a hundredth of held-out images.
    evidence, least = logsumexp(both, axis=1), logsumexp(parts['held_out_logits'], axis=1)
    strange = evidence < np.quantile(least, 0.01)
    found['evidence'] = _selective(doubt(both) + np.where(strange, 1e6, 0), wrong)
    found['strange'] = {
        'test': float(strange[: len(label)].mean()),
        'intruders': float(strange[len(label) :].mean()),
    }
    found['moved'] = moved(logits, label)
    return found


def doubt(logits: np.ndarray) -> np.ndarray:
    """log(1 - p) [N] of the most likely class; exact where p rounds to 1."""
    log_p = log_softmax(logits, axis=1)
    log_p[np.arange(len(log_p)), np.argmax(log_p, axis=1)] = -np.inf
    return logsumexp(log_p, axis=1)


def _selective(doubt: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    risks = {f'risk_{100 * c:g}': risk_at(-doubt, wrong, c) for c in COVERAGES}
    coverage, risk = risk_coverage(-doubt, wrong)
    at = np.linspace(0.3, 1, 71)
    curve = np.interp(at, coverage, risk).round(6).tolist()
    return {**risks, 'aurc': aurc(-doubt, wrong), 'curve': curve}


def moved(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Error where four fifths of the test images are zeros: with the even prior of the training,
    with the one that EM finds from the images alone, and with the true one.
    """
    order = np.random.default_rng(0).permutation(len(label))
    zeros, others = order[label[order] == 0], order[label[order] != 0]
    rows = np.concatenate([zeros, others[: round(len(zeros) * (1 - SHIFT) / SHIFT)]])
    logits, label = logits[rows], label[rows]
    true = np.log(np.maximum(np.bincount(label, minlength=10), 1e-9) / len(label))
    adapted = np.asarray(adapt_prior(logits, np.full(10, -np.log(10)), 100))

    def error(log_prior: np.ndarray) -> float:
        return float(np.mean(np.argmax(logits + log_prior, axis=1) != label))

    return {
        'even': error(np.zeros(10)),
        'adapted': error(adapted),
        'true': error(true),
        'zeros': float(softmax(adapted)[0]),
        'examples': len(label),
    }


def measure(out: Path, seeds: list[int]) -> list[dict]:
    """Results of all models and seeds."""
    rows = []
    for seed in seeds:
        for name in MODELS:
            found = results_of(scores(name, seed, out), name == 'vae')
            rows.append({'model': name, 'seed': seed, **found})
            short = {k: v for k, v in found['temperature_1'].items()}
            print(json.dumps({'model': name, 'seed': seed, **short}), flush=True)
    return rows


def report(rows: list[dict]) -> str:
    """The tables: mean ± standard deviation over the seeds."""

    def cell(model: str, *path: str, percent: bool = True) -> str:
        values = []
        for row in rows:
            if row['model'] == model:
                value = row
                for part in path:
                    value = value[part]
                values.append(value)
        factor, digits = (100, 2) if percent else (1, 3)
        return records.spread(factor * np.array(values), digits)

    lines = ['| | accuracy % | ECE % | NLL, nats | Brier |', '|---|---|---|---|---|']
    for name, model, key in (
        ('VAE', 'vae', 'temperature_1'),
        (f'VAE, temperature {TEMPERATURE:g}', 'vae', f'temperature_{TEMPERATURE:g}'),
        ('CNN', 'cnn', 'temperature_1'),
    ):
        parts = [cell(model, key, 'accuracy'), cell(model, key, 'ece')]
        parts += [cell(model, key, each, percent=False) for each in ('nll', 'brier')]
        lines.append(f'| {name} | {" | ".join(parts)} |')
    head = ' | '.join(f'{100 * c:g} %' for c in COVERAGES)
    lines += ['', f'| risk in % at a coverage of | {head} | AURC % |', '|---' * 6 + '|']
    for name, model, key in (
        ('VAE', 'vae', 'rejecting'),
        ('CNN', 'cnn', 'rejecting'),
        ('VAE, intruders, by posterior', 'vae', 'posterior'),
        ('VAE, intruders, by log p(x) and posterior', 'vae', 'evidence'),
        ('CNN, intruders, by softmax', 'cnn', 'posterior'),
        ('CNN, intruders, by energy and softmax', 'cnn', 'evidence'),
    ):
        cells = [cell(model, key, f'risk_{100 * c:g}') for c in COVERAGES]
        lines.append(f'| {name} | {" | ".join([*cells, cell(model, key, "aurc")])} |')
    lines += [
        '',
        '| error in %, four fifths zeros | even prior | by EM | true prior |',
        '|---' * 4 + '|',
    ]
    for name, model in (('VAE', 'vae'), ('CNN', 'cnn')):
        cells = [cell(model, 'moved', each) for each in ('even', 'adapted', 'true')]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def plot(rows: list[dict]) -> Figure:
    """Risk over coverage, without and with intruders; the mean over the seeds."""
    figure = Figure(figsize=(8.4, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    at = np.linspace(0.3, 1, 71)
    for axes, title, curves in (
        (panels[0], 'MNIST test images', (('vae', 'rejecting', '-'), ('cnn', 'rejecting', '-'))),
        (
            panels[1],
            f'with {INTRUDERS:,} images of Fashion-MNIST',
            (
                ('vae', 'posterior', ':'),
                ('vae', 'evidence', '-'),
                ('cnn', 'posterior', ':'),
                ('cnn', 'evidence', '-'),
            ),
        ),
    ):
        for model, key, style in curves:
            curve = np.mean([r[key]['curve'] for r in rows if r['model'] == model], axis=0)
            label = {'vae': 'VAE', 'cnn': 'CNN'}[model]
            if axes is panels[1]:
                first = {'vae': 'log p(x)', 'cnn': 'energy'}[model]
                label += f', by {first}, then p(y | x)' if key == 'evidence' else ', by p(y | x)'
            colour = {'vae': 'C0', 'cnn': 'C1'}[model]
            axes.plot(at, np.maximum(curve, 1e-5), style, color=colour, label=label)
        axes.set(xlabel='coverage', title=title, yscale='log')
        axes.legend(fontsize=8)
    panels[0].set_ylabel('risk: errors among those answered')
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if args.out is not None:
        records.write_rows(RESULTS, measure(args.out, args.seeds))
    rows = json.loads(RESULTS.read_text())
    print(report(rows))
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
