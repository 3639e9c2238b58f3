"""Depth from shading: photometric stereo, and a model of p(depth | one image).

    python -m experiments.depth.run [--out=runs/depth] [--seeds 0 1 2]

With `--out`, measures photometric stereo with six lights, trains a diffusion model of depth given
one image with each seed, in two worlds, draws depth maps and writes `results.json` beside this
file; what is done already is not done again. Without, reads that file and `maps.npz`. Prints the
tables and draws `docs/images/depth.png`.
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
from experiments.depth import stereo
from genjax.config import FieldReference, spec
from genjax.data import Chain, Reliefs, Standardise
from genjax.data.toy.reliefs import shade
from genjax.models import DiffusionModel, diffusion
from genjax.networks import TimeMLP
from genjax.training import Experiment

WORLDS = ('lambertian', 'linear')
NOISES, SIDES = (0.0, 0.01, 0.03), (16, 32, 64)
TEST, DRAWS = 400, 39  # images, and depth maps of each
LOW, HIGH = 1, 37  # places in the order of 39 draws between which one more lies at 90 %
NORMAL = 1.6449  # half the width of a 90 % interval, in standard deviations
RESULTS = Path(__file__).with_name('results.json')
SHOWN = Path(__file__).with_name('maps.npz')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'depth.png'
NAMES = {
    'constant': 'best constant',
    'regression': 'linear regression',
    'model': 'model',
    'exact': 'exact posterior',
}


def config(world: str, steps: int = 3000, train_size: int = 50_000, features: int = 256):
    """A diffusion model along straight paths that predicts the clean depth map."""
    steps = FieldReference(steps)
    return spec(
        Experiment,
        dataset=Reliefs(train_size, linear=world == 'linear'),
        preprocess=Chain((Standardise(),)),
        model=DiffusionModel(
            TimeMLP((16, 16, 1), features=features, num_layers=3),
            path=diffusion.Rectified(t_min=0.01),
            parameterisation=diffusion.X0(),
            sampling=diffusion.DiffusionSampling(steps=16),
            context_shape=(16, 16, 1),
            condition_dropout=0.0,
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        steps_per_call=50,
        batch_size=64,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=500,
        checkpoint_every=0,
        num_samples=4,
    )


def photometric(noise: float, side: int, num: int = 50) -> dict[str, float]:
    """Mean angle between true and estimated normals in degrees, and root mean square error of the
    height in % of its standard deviation, with six lights and side x side pixels.
    """
    world, random = Reliefs(side=side, num_lights=6), np.random.default_rng(0)
    coefficients = random.standard_normal((num, 28))
    truth, normals = world.heights(coefficients), world.normals(coefficients)
    image = shade(normals, world.lights)
    image = image + noise * random.standard_normal(image.shape)
    found = stereo.estimate_normals(image, world.lights, max(2 * noise, 1e-6))
    slopes = (-found[..., axis] / found[..., 2] for axis in (0, 1))
    height = stereo.integrate(*slopes, spacing=16 / side)
    return {
        'noise': noise,
        'side': side,
        'angle': float(stereo.angles(found, normals).mean()),
        'height': float(100 * np.sqrt(np.mean((height - truth) ** 2)) / truth.std()),
    }


def abs_rel(depth: np.ndarray, truth: np.ndarray) -> float:
    """Mean of |depth - truth| / truth."""
    return float(np.mean(np.abs(depth - truth) / truth))


def best_constant(depth: np.ndarray) -> float:
    """The constant of least AbsRel: the median of depths [...], weighted by their inverses."""
    depth = np.sort(depth.ravel())
    weight = np.cumsum(1 / depth)
    return float(depth[np.searchsorted(weight, weight[-1] / 2)])


def regression(train: dict, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth [N, 16, 16] by linear regression on all pixels of images, and the standard deviation
    [16, 16] of its residuals on the training data.
    """

    def inputs(image: np.ndarray) -> np.ndarray:
        flat = image.reshape(len(image), -1).astype(float)
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    x, y = inputs(train['context']), train['x'].reshape(len(train['x']), -1).astype(float)
    weights = np.linalg.solve(x.T @ x, x.T @ y)
    spread = np.std(x @ weights - y, axis=0)
    shape = train['x'].shape[1:3]
    return (inputs(image) @ weights).reshape(-1, *shape), spread.reshape(shape)


def scores(
    depth: np.ndarray, low: np.ndarray, high: np.ndarray, truth: np.ndarray
) -> dict[str, float]:
    """AbsRel, root mean square error, share of the truth within [low, high] and mean width of these
    intervals in units of the height's standard deviation; all arrays [N, 16, 16].
    """
    return {
        'abs_rel': abs_rel(depth, truth),
        'rmse': float(np.sqrt(np.mean((depth - truth) ** 2))),
        'coverage': float(np.mean((low <= truth) & (truth <= high))),
        'width': float(np.mean(high - low)),
    }


def without_model(dataset: Reliefs, train: dict, test: dict) -> dict:
    """Scores of all but the model, on test examples."""
    truth = test['x'][..., 0]
    constant = np.full_like(truth, best_constant(train['x']))
    low, high = np.quantile(train['x'], [0.05, 0.95])
    found = {'constant': scores(constant, 0 * truth + low, 0 * truth + high, truth)}
    mean, spread = regression(train, test['context'])
    found['regression'] = scores(mean, mean - NORMAL * spread, mean + NORMAL * spread, truth)
    if dataset.linear:
        mean, covariance = dataset.posterior(test['context'])
        half = NORMAL * np.sqrt(np.diag(covariance)).reshape(mean.shape[1:])
        found['exact'] = scores(mean, mean - half, mean + half, truth)
    return found


def drawn(run: genjax.Run, image: np.ndarray, seed: int) -> np.ndarray:
    """Depth maps [N, DRAWS, 16, 16] of images, sorted in each pixel."""
    maps = run.sample(
        len(image) * DRAWS,
        context=np.repeat(image, DRAWS, axis=0),
        seed=seed,
        batch_size=DRAWS * 10,
    )
    return np.sort(maps.reshape(len(image), DRAWS, *maps.shape[1:3]), axis=1)


def of_maps(maps: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Scores of sorted depth maps [N, DRAWS, 16, 16]: of their median, and of the second and the
    last but one, between which the truth lies with probability .9 if it is one more draw.
    """
    return scores(maps[:, DRAWS // 2], maps[:, LOW], maps[:, HIGH], truth)


def trial(world: str, seed: int, workdir: Path, shown: bool) -> dict:
    """Results of a world and a seed; writes maps for the figure, if they are to be shown. The test
    examples are the first of the test split.
    """
    made = config(world)
    made.seed = seed
    begin = time.process_time()
    run = genjax.train(made, workdir)
    trained = time.process_time()
    dataset = run.experiment.dataset
    train = dataset.source('train')[np.arange(dataset.train_size)]
    test = dataset.source('test')[np.arange(TEST)]
    row = {'world': world, 'seed': seed, **without_model(dataset, train, test)}
    maps, truth = drawn(run, test['context'], seed), test['x'][..., 0]
    row['model'] = of_maps(maps, truth)
    if dataset.linear:
        mean, covariance = dataset.posterior(test['context'])
        spread = np.sqrt(np.diag(covariance)).mean()
        row['mean_gap'] = float(np.sqrt(np.mean((maps.mean(axis=1) - mean) ** 2)))
        row['spread'] = [float(maps.std(axis=1).mean()), float(spread)]
    row['seconds'] = [round(trained - begin), round(time.process_time() - trained)]
    if shown:
        parts = {'truth': truth, 'image': test['context'][..., 0]}
        parts |= {'median': maps[:, DRAWS // 2], 'low': maps[:, LOW], 'high': maps[:, HIGH]}
        parts['regression'] = regression(train, test['context'])[0]
        parts = {name: a[:4].astype(np.float16) for name, a in parts.items()}
        np.savez_compressed(SHOWN, **parts)
    return row


def measure(out: Path, seeds: list[int]) -> dict:
    """All results."""
    found = {'stereo': [photometric(n, side) for n in NOISES for side in SIDES], 'runs': []}
    for world in WORLDS:
        for seed in seeds:
            name = f'{world}-{seed}'
            args = world, seed, out / name, world == 'lambertian' and seed == seeds[0]
            found['runs'].append(records.once(out / f'{name}.json', trial, *args))
            print(json.dumps(found['runs'][-1]), flush=True)
    return found


def report(found: dict) -> str:
    """The tables: mean ± standard deviation over the seeds, where it is not 0."""
    lines = ['| noise | pixels | mean angle, degrees | error of the height, % |', '|---' * 4 + '|']
    for row in found['stereo']:
        size = f'{row["side"]} x {row["side"]}'
        lines.append(f'| {row["noise"]:g} | {size} | {row["angle"]:.2f} | {row["height"]:.2f} |')
    for world in WORLDS:
        rows = [row for row in found['runs'] if row['world'] == world]
        head = f'| {world} shading | AbsRel, % | below the constant, % | RMSE | coverage of 90 %'
        lines += ['', f'{head} | width |', '|---' * 6 + '|']
        for name, label in NAMES.items():
            if name not in rows[0]:
                continue
            part = {key: np.array([row[name][key] for row in rows]) for key in rows[0][name]}
            constant = np.array([row['constant']['abs_rel'] for row in rows])
            cells = [
                _cell(100 * part['abs_rel'], 2),
                _cell(100 * (1 - part['abs_rel'] / constant), 1),
                _cell(part['rmse'], 3),
                _cell(100 * part['coverage'], 1),
                _cell(part['width'], 3),
            ]
            lines.append(f'| {label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def _cell(values: np.ndarray, digits: int) -> str:
    return records.spread(values if np.std(values) > 1e-9 else values[:1], digits)


def plot(shown: dict[str, np.ndarray]) -> Figure:
    """Images, and depths: true, by linear regression, the median of draws, and interval widths."""
    figure = Figure(figsize=(8, 6.2), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(4, 5)
    columns = ('image', 'truth', 'regression', 'median', 'width')
    shown = {name: each.astype(float) for name, each in shown.items()}
    shown['width'] = shown['high'] - shown['low']
    titles = ('image', 'true depth', 'linear regression', 'median of draws', '90 % interval')
    for row, line in enumerate(panels):
        for panel, name, title in zip(line, columns, titles, strict=True):
            style = {'cmap': 'viridis', 'vmin': 2.5, 'vmax': 7.5}
            style = {'image': {'cmap': 'gray', 'vmin': 0, 'vmax': 1}}.get(name, style)
            style = {'width': {'cmap': 'magma', 'vmin': 0, 'vmax': 2}}.get(name, style)
            drawn = panel.imshow(shown[name][row], **style)
            panel.set(xticks=[], yticks=[])
            if row == 0:
                panel.set_title(title, fontsize=9)
            if row == 0 and name in ('truth', 'width'):
                figure.colorbar(drawn, ax=panels[:, columns.index(name)], location='bottom')
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    if args.out is not None:
        found = measure(args.out, args.seeds)
        runs = ',\n'.join(map(json.dumps, found['runs']))
        RESULTS.write_text(f'{{"stereo": {json.dumps(found["stereo"])},\n"runs": [\n{runs}\n]}}\n')
    print(report(json.loads(RESULTS.read_text())))
    plot(dict(np.load(SHOWN))).savefig(IMAGE, dpi=110)


if __name__ == '__main__':
    main()
