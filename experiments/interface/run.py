"""The image as interface: a network teaches a kernel machine by images that a model generates.

    python -m experiments.interface.run [--out=runs/interface] [--seeds 0 1 2]

With `--out`, trains an autoencoder of MNIST and, with each seed, a flow of its codes given the
digit and a convolutional classifier; draws images, lets the classifier label them, and trains
support vector machines on them and on real images. Writes `results.json` beside this file; what is
done already is not done again. Without, reads that file. Prints the tables and draws
`docs/images/interface.png`. Needs the TFDS data `mnist` (docs/data.md).
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optax
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

import genjax
from experiments import records
from genjax.config import FieldReference, spec
from genjax.data import TFDS, Chain, Latents, Scale
from genjax.data.labelled import labelled_rows, labels_of
from genjax.models import VAE, Classifier, DiffusionModel
from genjax.networks import MLP, ConvNet, TimeMLP
from genjax.training import Experiment, LoadLatents
from genjax.training.encoding import encode
from genjax.training.first_stage import FirstStage

MNIST = TFDS('mnist', train='train[:55000]', validation='train[55000:]')
SIZES = (100, 1000, 4000, 10_000)  # images that a machine learns from, as many of each digit
REAL = 1000  # images, before those of a digit are left out
_CHUNK = 2000  # images classified at a time; limits memory
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'interface.png'


def autoencoder(steps: int = 3000, dataset=MNIST, width: int = 400):
    """A VAE of grey images with little weight on the rate, so that images keep their detail."""
    net = {'activation': 'silu'}
    model = VAE(
        encoder=MLP((width, width), **net),
        decoder=MLP((width, width), shape=dataset.event_shape, **net),
        latent_dim=32,
        beta=0.25,
    )
    return _experiment(model, dataset, Scale(), steps, 200, 2e-3)


def flow(codes: Path, first: Path, steps: int = 4000, features: int = 256):
    """Flow matching of the codes given the digit."""
    network = TimeMLP((32,), features=features, num_layers=3)
    model = DiffusionModel(network, num_classes=10)
    dataset = spec(Latents, path=str(codes))
    step = spec(LoadLatents, workdir=str(first))
    return _experiment(model, dataset, step, steps, 200, 1e-3)


def classifier(steps: int = 500, dataset=MNIST):
    """Two convolutional layers with pooling."""
    model = Classifier(ConvNet((16, 32), pool=2), 10)
    return _experiment(model, dataset, Scale(), steps, 128, 3e-3)


def _experiment(model, dataset, step, steps: int, batch_size: int, rate: float):
    steps = FieldReference(steps)
    return spec(
        Experiment,
        dataset=dataset,
        preprocess=spec(Chain, steps=(step,)),
        model=model,
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, rate, steps)),
        steps=steps,
        steps_per_call=1 if isinstance(model, Classifier) else 10,  # convolutions in a loop: slow
        batch_size=batch_size,
        ema=(0.999,),
        log_every=500,
        checkpoint_every=0,
    )


def first_stage(config, out: Path) -> None:
    """Trains the autoencoder, and stores its codes in `codes`, if that is not done."""
    genjax.train(config, out / 'first')
    if not (out / 'codes').exists():
        encode(FirstStage.load(out / 'first'), out / 'codes', ('train', 'validation'), 500)


def generated(run: genjax.Run, network: genjax.Run, num: int, seed: int) -> dict[str, np.ndarray]:
    """Draws images [num, *event], of all digits in turn: means of the decoder, with the `label`
    that the network gives them and the digit that was `asked` for.
    """
    x = run.sample(num, seed=seed)
    asked = np.arange(num) % 10
    return {'x': x, 'label': np.argmax(network.classify(x), axis=1), 'asked': asked}


def mixed(x: np.ndarray, network: genjax.Run, num: int, seed: int) -> dict[str, np.ndarray]:
    """Draws weighted means of two of the images x, with even weights in [0, 1] (mixup), and labels
    them as those of `generated`.
    """
    random = np.random.default_rng(seed)
    first, second = x[random.integers(len(x), size=(2, num))].astype(np.float32)
    weight = random.random((num, *(1,) * (x.ndim - 1)), np.float32)
    between = weight * first + (1 - weight) * second
    return {'x': between, 'label': np.argmax(network.classify(between), axis=1)}


def machine(x: np.ndarray, label: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a support vector machine with an RBF kernel on pixels, that of `fit_probe`; returns a
    function from images to labels. Kernels by products of matrices, which is several times as fast.
    """
    centre = x.reshape(len(x), -1).mean(axis=0, dtype=np.float64)
    scale = np.sqrt(x.reshape(len(x), -1).var(axis=0, dtype=np.float64).mean())

    def scaled(x: np.ndarray) -> np.ndarray:
        return ((x.reshape(len(x), -1) - centre) / scale).astype(np.float32)

    known = scaled(x)
    kernel = functools.partial(rbf_kernel, Y=known, gamma=1 / known.shape[1])
    model = SVC(C=10.0, kernel='precomputed').fit(kernel(known), label)
    return lambda x: np.concatenate(
        [model.predict(kernel(scaled(x[i : i + _CHUNK]))) for i in range(0, len(x), _CHUNK)]
    )


def errors(real: dict, made: dict, control: dict, test: dict) -> dict[str, float]:
    """Shares of errors of machines that learn from the first images of each kind: `x` and `label`
    of real, generated and mixed images.
    """
    found = {}
    for name, data, sizes in (
        ('real', real, SIZES),
        ('generated', made, SIZES),
        ('mixup', control, SIZES[-1:]),
    ):
        for num in sizes:
            predict = machine(data['x'][:num], data['label'][:num])
            found[f'{name}:{num}'] = float(np.mean(predict(test['x']) != test['label']))
    return found


def absent(real: dict, made: dict, test: dict, num: int) -> dict[str, dict[str, float]]:
    """For each digit, of machines that learn from `num` real images, all digits in turn, but none
    of this one: the share of it that is recalled after as many generated images have taken the
    place of those left out, the share of the others that are mistaken for it, and both with the
    real images.
    """
    x, label = real['x'][:num], real['label'][:num]
    whole, found = machine(x, label)(test['x']), {}
    for digit in np.unique(label):
        others, wanted = label != digit, test['label'] == digit
        new = made['x'][made['label'] == digit][: np.sum(~others)]
        both = np.concatenate([x[others], new])
        predict = machine(both, np.concatenate([label[others], np.full(len(new), digit)]))
        said = predict(test['x']) == digit
        found[str(digit)] = {
            'recall': float(said[wanted].mean()),
            'mistaken': float(said[~wanted].mean()),
            'recall_real': float(np.mean(whole[wanted] == digit)),
            'mistaken_real': float(np.mean(whole[~wanted] == digit)),
        }
    return found


def trial(out: Path, seed: int) -> dict:
    """Trains what a seed needs, and measures it."""
    begin = time.process_time()
    runs = {}
    for name, config in (
        ('flow', flow(out / 'codes', out / 'first')),
        ('classifier', classifier()),
    ):
        config.seed = seed
        runs[name] = genjax.train(config, out / f'{name}-{seed}')
    trained = time.process_time()
    train, test = (MNIST.source(split) for split in ('train', 'test'))
    rows = labelled_rows(MNIST, labels_of(train), SIZES[-1] // 10, seed)
    real, test = train[rows], test[np.arange(len(test))]
    made = generated(runs['flow'], runs['classifier'], SIZES[-1], seed)
    control = mixed(real['x'][: SIZES[0]], runs['classifier'], SIZES[-1], seed)
    found = {'errors': errors(real, made, control, test), 'absent': absent(real, made, test, REAL)}
    right = np.argmax(runs['classifier'].classify(test['x']), axis=1) == test['label']
    seconds = [trained - begin, time.process_time() - trained]
    return {
        'seed': seed,
        'seconds': [round(s) for s in seconds],
        'network_error': float(1 - right.mean()),
        'as_asked': float(np.mean(made['label'] == made['asked'])),
        **found,
    }


def measure(out: Path, seeds: list[int]) -> list[dict]:
    """Results of all seeds."""
    first_stage(autoencoder(), out)
    rows = []
    for seed in seeds:
        rows.append(records.once(out / f'{seed}.json', trial, out, seed))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def report(rows: list[dict]) -> str:
    """The tables: mean ± standard deviation over the seeds, in %."""

    def cell(of) -> str:
        return records.spread(100 * np.array([of(row) for row in rows]), 2)

    head = ' | '.join(f'{num:,}' for num in SIZES)
    lines = [f'| test error in %, images learned from | {head} |', '|---' * (len(SIZES) + 1) + '|']
    for kind, name in (('real', 'real'), ('generated', 'generated, labelled by the network')):
        cells = [cell(lambda row, n=f'{kind}:{num}': row['errors'][n]) for num in SIZES]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    mixup = cell(lambda row: row['errors'][f'mixup:{SIZES[-1]}'])
    lines.append(f'| mixtures of 100 real, labelled by the network |{" – |" * 3} {mixup} |')
    lines += ['', '| a digit left out, in % | recalled | others mistaken for it |', '|---|---|---|']
    for kind, name in (('', 'generated in its place'), ('_real', 'real')):
        for digits, of in (('7', ['7']), ('mean of ten digits', map(str, range(10)))):
            of = list(of)
            cells = [
                cell(lambda row, n=n + kind, of=of: np.mean([row['absent'][d][n] for d in of]))
                for n in ('recall', 'mistaken')
            ]
            lines.append(f'| {name}: {digits} | {" | ".join(cells)} |')
    least = min(row['absent'][digit]['recall'] for row in rows for digit in row['absent'])
    lines += ['', f'The least recall of a digit, of all seeds: {100 * least:.1f} %.']
    return '\n'.join(lines)


def plot(rows: list[dict]) -> Figure:
    """Errors over the number of images."""
    figure = Figure(figsize=(4.6, 3.4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for kind, style in (('real', 'o-'), ('generated', 's-'), ('mixup', '^')):
        sizes = [num for num in SIZES if f'{kind}:{num}' in rows[0]['errors']]
        values = 100 * np.array([[r['errors'][f'{kind}:{n}'] for n in sizes] for r in rows])
        label = 'mixtures of 100 real' if kind == 'mixup' else kind
        axes.errorbar(
            sizes, values.mean(axis=0), values.std(axis=0, ddof=1), fmt=style, label=label
        )
    axes.set(xscale='log', yscale='log', xlabel='images learned from', ylabel='test error, %')
    axes.set_yticks([4, 6, 10, 20], ['4', '6', '10', '20'])
    axes.minorticks_off()
    axes.legend(fontsize=8)
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
