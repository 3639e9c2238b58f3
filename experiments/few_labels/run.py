"""Few labels: a classifier of pixels, and models that learn from images without labels.

    python -m experiments.few_labels.run [--out=runs/few_labels] [--cases m1_m2:100:10 ...]

With `--out`, trains the models of `configs/mnist/` for each draw of the labelled images and writes
`results.json` beside this file; what is done already is not done again. Without, reads that file.
Prints the tables and draws `docs/images/few_labels.png`. A case is a method, the number of labels
and that of draws; the default are those of the page. Needs the TFDS data `mnist` (docs/data.md).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import genjax
from experiments import records
from genjax import config as configs
from genjax.data import TFDS
from genjax.data.labelled import labelled_rows, labels_of
from genjax.evaluation.probe import fit_probe
from genjax.training.encoding import encode
from genjax.training.first_stage import FirstStage

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name('results.json')
IMAGE = ROOT / 'docs' / 'images' / 'few_labels.png'
MNIST = TFDS('mnist', train='train[:55000]', validation='train[55000:]')
LABELS = (100, 600, 1000)
PROBES = ('logistic', 'svm', 'propagation')
LEARNERS = {
    'logistic': ', logistic regression',
    'svm': ', SVM',
    'propagation': ', label propagation',
    'classifier': '',
}
CASES = (
    'pixels:100:10', 'pixels:600:3', 'pixels:1000:3',
    'm1:100:10', 'm1:600:3', 'm1:1000:3',
    'm1_m2:100:10', 'm1_m2:600:3', 'm1_m2:1000:3',
    'm2:100:1', 'k_plus_1:100:2', 'frozen:100:1',
)  # fmt: skip
NAMES = {
    'pixels': 'pixels',
    'm1': 'M1',
    'm2': 'M2',
    'm1_m2': 'M1+M2',
    'k_plus_1': 'K+1 GAN',
    'frozen': 'K+1 GAN, generator at random',
}
RESTARTS = 3  # of M1+M2
UNLABELLED = 2000  # images of the graph of label propagation


def config_of(method: str, labels: int, draw: int, out: Path):
    """The config of a method that trains for each draw."""
    name = {'m2': 'vae_m2', 'm1_m2': 'vae_m1_m2'}.get(method, 'gan_k_plus_1')
    config = configs.load(str(ROOT / 'configs' / 'mnist' / f'{name}.py'))
    if method == 'm1_m2':
        config.dataset.base.path = str(out / 'codes')
        config.preprocess.steps[0].workdir = str(out / 'm1')
    if method == 'frozen':
        config.frozen = ('generator/.*',)
    config.dataset.per_class, config.dataset.seed = labels // 10, draw
    config.seed, config.evals = draw, {}
    return config


def first_stage(config, out: Path) -> genjax.Run:
    """M1: trained, and with its codes of all images in `codes`, if that is not done."""
    run = genjax.train(config, out / 'm1')
    if not (out / 'codes').exists():
        encode(FirstStage.load(out / 'm1'), out / 'codes', ('train', 'validation', 'test'), 500)
    return run


def trained(config, workdir: Path, split: str = 'test') -> dict[str, float]:
    """Trains a model of few labels: share of errors of its classifier on a split, the bound of a
    VAE in training, and seconds of CPU time.
    """
    begin = time.process_time()
    run = genjax.train(config, workdir)
    source = run.experiment.dataset.source(split)
    logits = run.classify(source[np.arange(len(source))]['x'])
    found = {
        'classifier': float(np.mean(np.argmax(logits, axis=1) != labels_of(source))),
        'seconds': round(time.process_time() - begin),
    }
    last = json.loads((workdir / 'metrics.jsonl').read_text().splitlines()[-1])
    return {**found, **({'bound': last['vae/bound']} if 'vae/bound' in last else {})}


def best_of(
    config, restarts: int, workdir: Path, split: str = 'test'
) -> dict[str, float | list[float]]:
    """The results, as of `trained`, of that of several runs from other initial values whose bound
    is the largest, which needs no labels beyond those of the training; and those of all.
    """
    found = []
    for restart in range(restarts):
        config.seed = config.dataset.seed * restarts + restart
        found.append(trained(config, workdir / str(restart), split))
    best = max(found, key=lambda results: results['bound'])
    seconds = sum(results['seconds'] for results in found)
    return {**best, 'seconds': seconds, 'restarts': found}


def probed(
    dataset, x: dict[str, np.ndarray], labels: int, draw: int, split: str = 'test'
) -> dict[str, float]:
    """Shares of errors on a split of simple classifiers of features x, [N, D] by split, that learn
    from `labels` labelled ones; label propagation from other training examples, too.
    """
    begin = time.process_time()
    label = {name: labels_of(dataset.source(name)) for name in ('train', split)}
    rows = labelled_rows(dataset, label['train'], labels // dataset.num_classes, draw)
    others = np.random.RandomState(0).permutation(len(label['train']))[:UNLABELLED]
    found = {}
    for learner in PROBES:
        predict = fit_probe(x['train'][rows], label['train'][rows], learner, x['train'][others])
        found[learner] = float(np.mean(predict(x[split]) != label[split]))
    return {**found, 'seconds': round(time.process_time() - begin)}


def trial(method: str, labels: int, draw: int, out: Path, features: dict) -> dict[str, float]:
    """Results of a method for one draw of the labelled images.

    Args:
        method: a key of `NAMES`.
        labels: number of labelled images.
        draw: number of the draw.
        out: folder of the runs.
        features: those of 'pixels' and 'm1', [N, D] by split.
    """
    if method in features:
        return probed(MNIST, features[method], labels, draw)
    config = config_of(method, labels, draw, out)
    if method == 'm1_m2':
        return best_of(config, RESTARTS, out / f'{method}-{labels}-{draw}')
    return trained(config, out / f'{method}-{labels}-{draw}')


def features_of(run: genjax.Run) -> dict[str, dict[str, np.ndarray]]:
    """Pixels and the means of M1's codes, float32 [N, D], by the splits 'train' and 'test'."""
    found = {'pixels': {}, 'm1': {}}
    for split in ('train', 'test'):
        source = MNIST.source(split)
        x = source[np.arange(len(source))]['x']
        found['pixels'][split] = x.reshape(len(x), -1).astype(np.float32)
        found['m1'][split] = run.features(x)
    return found


def measure(out: Path, cases: list[str]) -> list[dict]:
    """Results of all cases; each is written when it ends."""
    config = configs.load(str(ROOT / 'configs' / 'mnist' / 'vae_m1.py'))
    config.evals = {}
    features, rows = features_of(first_stage(config, out)), []
    for case in cases:
        method, labels, draws = case.split(':')
        for draw in range(int(draws)):
            record = out / f'{method}-{labels}-{draw}.json'
            found = records.once(record, trial, method, int(labels), draw, out, features)
            rows.append({'method': method, 'labels': int(labels), 'draw': draw, **found})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def report(rows: list[dict]) -> str:
    """The table: test errors in %, mean ± standard deviation over the draws."""
    lines = [f'| | {" | ".join(f"{labels:,} labels" for labels in LABELS)} |', '|---' * 4 + '|']
    for method, name in NAMES.items():
        for learner, title in LEARNERS.items():
            cells = [_cell(rows, method, labels, learner) for labels in LABELS]
            if any(cells):
                lines.append(f'| {name}{title} | {" | ".join(cell or "–" for cell in cells)} |')
    return '\n'.join(lines)


def _errors(rows: list[dict], method: str, labels: int, learner: str) -> np.ndarray:
    """Errors in %, one of each draw."""
    chosen = [row for row in rows if (row['method'], row['labels']) == (method, labels)]
    return 100 * np.array([row[learner] for row in chosen if learner in row])


def _cell(rows: list[dict], method: str, labels: int, learner: str) -> str:
    found = _errors(rows, method, labels, learner)
    return f'{records.spread(found, 1)} ({len(found)})' if len(found) else ''


def plot(rows: list[dict]) -> Figure:
    """Errors over the number of labels; a dot for each draw."""
    figure = Figure(figsize=(5.4, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = (
        ('pixels', 'svm'), ('m1', 'svm'), ('m1', 'propagation'), ('m2', 'classifier'),
        ('m1_m2', 'classifier'), ('k_plus_1', 'classifier'), ('frozen', 'classifier'),
    )  # fmt: skip
    for number, (method, learner) in enumerate(shown):
        for labels in LABELS:
            errors = _errors(rows, method, labels, learner)
            if len(errors):
                at = labels * 1.05 ** (number - 3)
                axes.plot(np.full(len(errors), at), errors, '.', color=f'C{number}', alpha=0.4)
                label = NAMES[method] + LEARNERS[learner] if labels == LABELS[0] else None
                axes.plot(at, errors.mean(), '_', ms=14, mew=2, color=f'C{number}', label=label)
    axes.set(xscale='log', yscale='log', xlabel='labels', ylabel='test error, %')
    axes.set_xticks(LABELS, map(str, LABELS))
    axes.set_yticks([3, 5, 10, 20, 30], ['3', '5', '10', '20', '30'])
    axes.minorticks_off()
    axes.legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--cases', nargs='+', default=CASES, help='method:labels:draws')
    args = parser.parse_args()
    if args.out is not None:
        records.write_rows(RESULTS, measure(args.out, args.cases))
    rows = json.loads(RESULTS.read_text())
    print(report(rows))
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
