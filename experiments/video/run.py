"""The next frame of a moving digit, and films of twenty, beside the exact predictor.

    python -m experiments.video.run [--out=runs/video] [--seeds 0 1 2]

With `--out`, trains a model of p(next frame | two frames) with each seed, scores test frames and
rolls out films, and writes `results.json` beside this file; what is done already is not done
again. Without, reads that file and `films.npz`. Prints the tables and draws
`docs/images/video.png`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import optax
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import genjax
from experiments import records
from experiments.video import forecasts
from genjax.config import FieldReference, spec
from genjax.data import MovingDigits
from genjax.data.toy import moving_digits as world
from genjax.models import Categorical, PixelCNN
from genjax.networks import GatedPixelCNN
from genjax.training import Experiment

TEST, FILMS, DRAWS, LENGTH = 5000, 50, 2, 20
RESULTS = Path(__file__).with_name('results.json')
SHOWN = Path(__file__).with_name('films.npz')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'video.png'
TIMES = (1, 2, 5, 10, 20)
TABLES = {
    'error': 'error of the place, pixels',
    'energy': 'energy score, pixels',
    'digit': 'share of the right digit',
}
NAMES = {
    'world': 'the world itself, two frames known',
    'exact': 'exact p(next \\| two frames), sampled',
    'model': 'model, sampled',
    'centroids': 'linear extrapolation of centroids',
    'reflected': 'digit read, reflected at the walls',
    'copy': 'copy of the last frame',
}


def config(steps: int = 1200, train_size: int = 100_000, features: int = 32):
    """A PixelCNN of the next frame, which sees the two before it around each pixel."""
    steps = FieldReference(steps)
    return spec(
        Experiment,
        dataset=MovingDigits(train_size),
        model=PixelCNN(
            GatedPixelCNN((10, 10, 1), features, num_layers=2, context_layers=5),
            likelihood=Categorical(levels=2),
            context_shape=(10, 10, 2),
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 3e-3, steps)),
        steps=steps,
        batch_size=32,
        log_every=250,
        checkpoint_every=0,
        num_samples=4,
    )


def bits(seed: int, run: genjax.Run, num: int) -> dict:
    """Mean bits of a frame of the test split, by predictor, with the standard error of the mean of
    the differences to the exact one.
    """
    dataset = run.experiment.dataset
    fit, test = (dataset.source(split)[np.arange(num)] for split in ('validation', 'test'))
    nats = {
        'exact': dataset.log_prob(test['x'], test['context']),
        'model': run.log_prob(test['x'], context=test['context'], seed=seed).value,
        'independent': forecasts.independent(test['x'], test['context']),
    }
    for name, guess in forecasts.GUESSES.items():
        nats[name] = forecasts.guess_log_prob(guess, fit, test)
    cost = {name: -np.asarray(each, np.float64) / np.log(2) for name, each in nats.items()}
    return {
        name: {
            'bits': float(each.mean()),
            'excess': float((each - cost['exact']).mean()),
            'stderr': float((each - cost['exact']).std(ddof=1) / np.sqrt(num)),
        }
        for name, each in cost.items()
    }


def films(seed: int, run: genjax.Run, num: int, length: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Scores of films of `length` frames after the first two, by predictor, and the films drawn:
    the true ones, and the first draws of the model and of the exact predictor.
    """
    frames, digits, places = world.clips(num, length + 2, seed=1000 + seed)
    start, truth = frames[:, :2], places[:, 2:]

    def model(context: np.ndarray, step: int) -> np.ndarray:
        seed_of_step = 1000 * seed + step
        return run.sample(len(context), context=context, seed=seed_of_step, batch_size=len(context))

    random = np.random.default_rng(seed)
    starts = np.repeat(start, DRAWS, axis=0)
    rolled = {
        'model': forecasts.roll_out(model, starts, length),
        'exact': forecasts.roll_out(
            lambda context, _: forecasts.exact_sample(random, context), starts, length
        ),
    }
    found, kept = {}, {'truth': frames}
    for name, film in rolled.items():
        film = film.reshape(num, DRAWS, length, 10, 10)
        read_digits, read_places = world.read(film)
        found[name] = forecasts.scores(read_places, truth)
        right = read_digits == digits[:, None, None]
        found[name]['digit'] = right.mean(axis=(0, 1)).round(4).tolist()
        kept[name] = film[:, 0]
    found['world'] = forecasts.scores(forecasts.world_places(random, start, length, DRAWS), truth)
    for name, forecast in forecasts.PLACES.items():
        found[name] = forecasts.scores(forecast(start, length)[:, None], truth)
    return found, kept


def trial(seed: int, workdir: Path, shown: bool) -> dict:
    """Results of a seed; writes films for the figure, if they are to be shown."""
    made = config()
    made.seed = seed
    begin = time.process_time()
    run = genjax.train(made, workdir)
    trained = time.process_time()
    found = {'seed': seed, 'bits': bits(seed, run, TEST)}
    found['films'], kept = films(seed, run, FILMS, LENGTH)
    found['seconds'] = [round(trained - begin), round(time.process_time() - trained)]
    if shown:
        kept = {name: film[:8].astype(bool) for name, film in kept.items()}
        np.savez_compressed(SHOWN, **kept)
    return found


def measure(out: Path, seeds: list[int]) -> list[dict]:
    """Results of all seeds."""
    rows = []
    for seed in seeds:
        args = seed, out / str(seed), seed == seeds[0]
        rows.append(records.once(out / f'{seed}.json', trial, *args))
        print(json.dumps({'seed': seed, 'bits': rows[-1]['bits']}), flush=True)
    return rows


def report(rows: list[dict]) -> str:
    """The tables: mean ± standard deviation over the seeds, where it is not 0."""

    def cell(values: list[float], digits: int) -> str:
        return records.spread(values if np.std(values) > 1e-9 else values[:1], digits)

    lines = ['| | bits a frame | above exact, % |', '|---|---|---|']
    labels = {'exact': 'exact', 'independent': 'exact, pixels independent', 'model': 'model'}
    for name in ('exact', 'model', 'independent', 'reflected', 'centroids', 'copy'):
        found = [row['bits'][name]['bits'] for row in rows]
        above = [100 * row['bits'][name]['excess'] / row['bits']['exact']['bits'] for row in rows]
        label = labels.get(name, NAMES.get(name))
        lines.append(f'| {label} | {cell(found, 2)} | {cell(above, 1)} |')
    for key, title in TABLES.items():
        heads = ' | '.join(f'frame {each}' for each in TIMES)
        lines += ['', f'| {title} | {heads} | mean of 20 |', '|---' * 7 + '|']
        for name, label in NAMES.items():
            if key not in rows[0]['films'][name]:
                continue
            curves = np.array([row['films'][name][key] for row in rows])
            cells = [cell(curves[:, t - 1], 2) for t in TIMES] + [cell(curves.mean(axis=1), 2)]
            lines.append(f'| {label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def plot(rows: list[dict], shown: dict[str, np.ndarray]) -> Figure:
    """Strips of a film and its roll-outs, and the error of the place over time."""
    figure = Figure(figsize=(9.5, 6.4), layout='constrained')
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    times = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
    axes = upper.subplots(6, len(times) + 2)
    for row, (film, name) in enumerate((f, n) for f in (0, 1) for n in ('truth', 'exact', 'model')):
        start, rest = shown['truth'][film][:2], shown['truth'][film][2:]
        rest = rest if name == 'truth' else shown[name][film]
        images = [*start, *(rest[t - 1] for t in times)]
        for column, (panel, image) in enumerate(zip(axes[row], images, strict=True)):
            panel.imshow(image, cmap='gray_r', vmin=0, vmax=1)
            panel.set(xticks=[], yticks=[])
            if row == 0:
                title = ('-1', '0', *map(str, times))[column]
                panel.set_title(title, fontsize=8)
        axes[row][0].set_ylabel(name, rotation=0, ha='right', va='center', fontsize=8)
    panels = lower.subplots(1, 2)
    for name, label in NAMES.items():
        for panel, key in zip(panels, ('error', 'energy'), strict=True):
            curve = np.mean([row['films'][name][key] for row in rows], axis=0)
            style = ':' if name in forecasts.PLACES else '-'
            panel.plot(np.arange(1, LENGTH + 1), curve, style, label=label.replace('\\', ''))
    panels[0].set(xlabel='frame', ylabel='error of the place, pixels', xticks=TIMES)
    panels[1].set(xlabel='frame', ylabel='energy score, pixels', xticks=TIMES)
    panels[0].legend(fontsize=6)
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
    plot(rows, dict(np.load(SHOWN))).savefig(IMAGE, dpi=110)


if __name__ == '__main__':
    main()
