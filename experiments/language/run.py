"""Does a language model that has read words without labels need fewer of them?

    python -m experiments.language.run --words=/usr/share/dict --out=runs/language
    python -m experiments.language.run    # the tables and the figure, from results.json

Tells the language of three words, one of eight. A GRU that has learned to predict the letters of
rows without labels is fine-tuned with 48 to 496 labels; the same network learns from the labelled
rows alone. Beside them: a probe of its features, and letter n-grams, with and without
self-training on the other rows. `words.py` names the packages with the word lists.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import genjax
from experiments import records
from experiments.language.words import CONTEXT, VOCAB, dataset, examples, read_words, tables
from genjax.config import FieldReference, spec
from genjax.data import SemiSupervised, Text
from genjax.data.labelled import labelled_rows
from genjax.evaluation import Accuracy, TokenLikelihood
from genjax.evaluation.probe import fit_probe
from genjax.models import GPT, Classifier
from genjax.models.base import Variables
from genjax.networks import Recurrent
from genjax.sampling import features
from genjax.training import Experiment, Start

PER_CLASS = (6, 12, 62)
TUNED_FOR = 12
TUNING_SEED = 100
RATES = {'scratch': (1e-3, 3e-3, 1e-2, 3e-2), 'pretrained': (3e-4, 1e-3, 3e-3, 1e-2)}
STEPS = {'pretraining': 2000, 'supervised': 150}
FEATURES = 192  # of the GRU
ROUNDS = (250, 1000, 4000)  # rows of each class that self-training labels
NAMES = {
    'ngrams': 'n-grams',
    'self-training': 'n-grams, self-training',
    'random': 'probe, network at random',
    'probe': 'probe, pretrained',
    'scratch': 'network from scratch',
    'pretrained': 'pretrained, fine-tuned',
}
ARMS = tuple(RATES)
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'language.png'


@dataclass(frozen=True)
class TextClassifier(Classifier):
    """A linear layer on the features of a language model, the mean over the letters of a row."""

    def features(self, variables: Variables, x: Array) -> Array:
        return GPT(self.network, end=0).features(variables, x)

    def logits(self, variables: Variables, x: Array, key: Array) -> tuple[Array, Any]:
        return self.classify(variables, x), variables['state']


def language_model() -> GPT:
    """An autoregressive model of the letters of a row, with a GRU."""
    network = Recurrent((CONTEXT,), vocab_size=VOCAB, features=FEATURES, cell='gru')
    return GPT(network, end=0)


def trained(out: Path, seed: int, **fields: Any) -> genjax.Run:
    """Trains a model, unless that is done, and returns the run at its end."""
    config = spec(
        Experiment, steps_per_call=10, ema=(0.98,), seed=seed, log_every=100, **fields
    )  # fmt: skip
    return genjax.train(config, out)


def pretrained(data: Text, out: Path) -> genjax.Run:
    """The language model of all training rows, without their labels."""
    steps = FieldReference(STEPS['pretraining'])
    schedule = spec(optax.warmup_cosine_decay_schedule, 0.0, 4e-3, 50, steps)
    return trained(
        out / 'pretrained', 0, dataset=data, model=language_model(), steps=steps, batch_size=32,
        optimizer=spec(optax.adamw, schedule, b2=0.99, weight_decay=0.01),
        clip_norm=float(CONTEXT), evals={'nll': TokenLikelihood(batch_size=200, unit='char')},
    )  # fmt: skip


def classifier(
    data: Text, seed: int, per_class: int, arm: str, rate: float, steps: int, out: Path,
    evals: Mapping[str, Accuracy],
) -> genjax.Run:  # fmt: skip
    """The classifier of few labels, from scratch or from the language model."""
    start = Start(str(out / 'pretrained'), groups={'network': 'network'})
    return trained(
        out / f'{arm}-{8 * per_class}-{rate}-{seed}', seed, evals=evals, steps=steps,
        dataset=SemiSupervised(data, per_class, seed, share=1.0),
        model=TextClassifier(language_model().network, data.num_classes),
        optimizer=spec(optax.adam, rate), batch_size=48, clip_norm=1.0,
        start=(start,) if arm == 'pretrained' else (),
    )  # fmt: skip


def tuning(data: Text, out: Path) -> list[dict]:
    """Validation accuracies of both arms, by learning rate and step, with labels of another draw
    than those of the results.
    """
    evals = {'valid': Accuracy(split='validation', every=STEPS['supervised'] // 3)}
    return [
        {'part': 'tuning', 'method': arm, 'rate': rate, 'steps': found['step'],
         'accuracy': found['valid/accuracy']}
        for arm in ARMS
        for rate in RATES[arm]
        for found in classifier(
            data, TUNING_SEED, TUNED_FOR, arm, rate, STEPS['supervised'], out, evals
        ).metrics()
        if 'valid/accuracy' in found
    ]  # fmt: skip


def settings(rows: list[dict]) -> tuple[int, dict[str, float]]:
    """The number of steps, the best one from scratch, and for it the best rate of each arm."""
    tried = {arm: [row for row in rows if row.get('method') == arm] for arm in ARMS}
    steps = max(tried['scratch'], key=lambda row: row['accuracy'])['steps']
    at_steps = {arm: [row for row in tried[arm] if row['steps'] == steps] for arm in ARMS}
    best = {arm: max(at_steps[arm], key=lambda row: row['accuracy']) for arm in ARMS}
    return steps, {arm: best[arm]['rate'] for arm in ARMS}


def ngrams(train: dict, test: dict, rows: np.ndarray) -> dict[str, float]:
    """Test accuracies of logistic regression on the n-grams of up to three letters, from the
    labelled `rows`, and with self-training. In each round of this a regression labels the training
    rows; the next one learns from those of each class that it was the surest of, too.
    """

    def vectoriser(**options: Any) -> TfidfVectorizer:
        return TfidfVectorizer(
            analyzer='char_wb', ngram_range=(1, 3), sublinear_tf=True, dtype=np.float32, **options
        )

    def fitted(x: Any, label: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=10, max_iter=300).fit(x, label)

    label, of_rows = train['label'][rows], vectoriser().fit(train['text'][rows])
    alone = fitted(of_rows.transform(train['text'][rows]), label)
    of_all = vectoriser(min_df=5)
    x = of_all.fit_transform(train['text'])
    model = fitted(x[rows], label)
    for number in ROUNDS:
        p = model.predict_proba(x)
        guess = np.argmax(p, axis=1)
        members = [np.flatnonzero(guess == k) for k in range(p.shape[1])]
        surest = np.concatenate([m[np.argsort(-p[m, k])[:number]] for k, m in enumerate(members)])
        model = fitted(x[np.append(rows, surest)], np.append(label, guess[surest]))
    return {
        'ngrams': alone.score(of_rows.transform(test['text']), test['label']),
        'self-training': model.score(of_all.transform(test['text']), test['label']),
    }


def measure(data: Text, seed: int, steps: int, rates: dict[str, float], out: Path) -> list[dict]:
    """Test accuracies of all methods; the seed is that of the labels and the initial values."""
    run = pretrained(data, out)
    train, test = examples(data, 'train'), examples(data, 'test')
    untrained = run.model.init(jax.random.key(seed), {'x': test['x'][:1]})
    probed = {
        name: functools.partial(features, run.model, run.experiment.preprocess, variables)
        for name, variables in (('random', untrained), ('probe', run.variables))
    }
    of_test = {name: h(test['x']) for name, h in probed.items()}
    rows = []
    for per_class in PER_CLASS:
        few = labelled_rows(data, train['label'], per_class, seed)
        found = ngrams(train, test, few)
        for name, h in probed.items():
            predict = fit_probe(h(train['x'][few]), train['label'][few])
            found[name] = float(np.mean(predict(of_test[name]) == test['label']))
        for arm in ARMS:
            tuned = classifier(data, seed, per_class, arm, rates[arm], steps, out, {})
            found[arm] = tuned.evaluate({'test': Accuracy()})['test/accuracy']
        row = {'part': 'test', 'seed': seed, 'labels': per_class * data.num_classes}
        rows += [{**row, 'method': name, 'accuracy': value} for name, value in found.items()]
    return rows


def study(words: Path, out: Path, seeds: Sequence[int]) -> list[dict]:
    """Rows of all parts; each part is stored as it ends, with its seconds of processor time."""

    def part(name: str, measured: Callable[..., list[dict]], *args: Any) -> list[dict]:
        def timed() -> list[dict]:
            begin = time.process_time()
            rows = measured(*args)
            return [*rows, {'part': 'cost', 'of': name, 'seconds': time.process_time() - begin}]

        return records.once(out / f'{name}.json', timed)

    folder = out / 'tables'
    data = dataset(folder) if folder.exists() else tables(read_words(words), folder)
    likelihood = pretrained(data, out).evaluate({'nll': TokenLikelihood(unit='char')})
    rows = [{'part': 'pretraining', 'nats_per_char': likelihood['nll/nats_per_char']}]
    rows += part('tuning', tuning, data, out)
    steps, rates = settings(rows)
    for seed in seeds:
        rows += part(f'seed-{seed}', measure, data, seed, steps, rates, out)
    return rows


def accuracies(rows: list[dict], method: str, labels: int) -> np.ndarray:
    """Test accuracies in %, in the order of the seeds."""
    chosen = [row for row in rows if (row.get('method'), row.get('labels')) == (method, labels)]
    return 100 * np.array([row['accuracy'] for row in chosen])


def report(rows: list[dict]) -> str:
    """The tables: test accuracies in %, mean ± standard deviation over the seeds, differences of
    methods with the same labels, and the validation accuracies that settings were chosen by.
    """
    counts = [8 * number for number in PER_CLASS]
    lines = [f'| | {" | ".join(f"{n} labels" for n in counts)} |', '|---' * (1 + len(counts)) + '|']
    for method, name in NAMES.items():
        cells = [records.spread(accuracies(rows, method, n), 1) for n in counts]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    for a, b in (
        ('pretrained', 'scratch'),
        ('pretrained', 'ngrams'),
        ('pretrained', 'self-training'),
    ):
        cells = [records.spread(accuracies(rows, a, n) - accuracies(rows, b, n), 1) for n in counts]
        lines.append(f'| *{NAMES[a]}* − *{NAMES[b]}* | {" | ".join(cells)} |')
    tried = [row for row in rows if row['part'] == 'tuning']
    steps = sorted({row['steps'] for row in tried})
    lines += ['', f'| validation, rate | {" | ".join(f"step {n}" for n in steps)} |']
    lines.append('|---' * (1 + len(steps)) + '|')
    for arm in ARMS:
        for rate in RATES[arm]:
            found = {
                row['steps']: 100 * row['accuracy']
                for row in tried
                if (row['method'], row['rate']) == (arm, rate)
            }
            cells = ' | '.join(f'{found[n]:.1f}' for n in steps)
            lines.append(f'| {NAMES[arm]}, {rate:g} | {cells} |')
    return '\n'.join(lines)


def plot(rows: list[dict]) -> Figure:
    """Test accuracies over the number of labels; a dot for each seed."""
    figure = Figure(figsize=(5.4, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    counts = np.array([8 * number for number in PER_CLASS])
    for number, (method, name) in enumerate(NAMES.items()):
        found = np.stack([accuracies(rows, method, n) for n in counts])
        at = counts * 1.03 ** (number - 3)
        axes.plot(at, found, '.', color=f'C{number}', alpha=0.4)
        axes.plot(at, found.mean(axis=1), color=f'C{number}', label=name)
    axes.set(xscale='log', xlabel='labels', ylabel='test accuracy, %')
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    axes.legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--words', type=Path, default=Path('/usr/share/dict'), help='word lists')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if args.out is not None:
        records.write_rows(RESULTS, study(args.words, args.out, args.seeds))
    rows = json.loads(RESULTS.read_text())
    print(report(rows))
    plot(rows).savefig(IMAGE, dpi=130)


if __name__ == '__main__':
    main()
