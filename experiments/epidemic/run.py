"""A surrogate of an epidemic: a flow that draws counts of infected people given the two rates.

    python -m experiments.epidemic.run --out=runs/epidemic
    python -m experiments.epidemic.run    # the tables and the figure, from results.json

Learns p(x | θ) of the simulator `SIR` from simulations, by a flow and by an emulator with a
Gaussian head. Both are held against the simulator: distances of each day's counts in units of those
between two samples of the simulator, and the calibration of posteriors by their likelihoods.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.special import ndtr

import genjax
from experiments import records
from genjax.config import FieldReference, spec
from genjax.data import Chain, Simulations, Standardise
from genjax.data.simulators import SIR, Dequantised, Rescaled, observed
from genjax.data.simulators.base import normal_log_prob
from genjax.inference import rank_test, sbc_ranks
from genjax.models import Flow, flow
from genjax.networks import MLP
from genjax.sampling import log_prob
from genjax.training import Experiment, MuonWeights

STEPS = {'flow': 4000, 'tuned': 8000, 'gaussian': 4000}
MODELS = tuple(STEPS)
SIMULATIONS = {'flow': 300_000, 'tuned': 1_000_000, 'gaussian': 300_000}
THETAS, DRAWS = 250, 1000  # for the distances
POSTERIORS, SAMPLES = 200, 199  # for the calibration
EDGE, COARSE, FINE = 4.0, 48, 61  # of the prior's standard deviations; points along an axis
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'epidemic.png'


@dataclass(frozen=True)
class Epidemic:
    """`SIR` with parameters (log θ - log median) / deviation, of a standard normal prior."""

    num_parameters: ClassVar[int] = 2
    observation_shape: ClassVar[tuple[int, ...]] = (10,)

    def prior_sample(self, key: Array, num: int) -> Array:
        return jax.random.normal(key, (num, 2))

    def prior_log_prob(self, z: Array) -> Array:
        return normal_log_prob(z, 0.0, 1.0)

    def simulate(self, key: Array, z: Array) -> Array:
        return SIR().simulate(key, rates(z))

    def log_likelihood(self, z: Array, x: Array) -> Array:
        return SIR().log_likelihood(rates(z), x)


def rates(z: Array) -> Array:
    """Contact and recovery rates per day [..., 2]."""
    return jnp.array([0.4, 0.125]) * jnp.exp(jnp.array([0.5, 0.2]) * z)


def config_of(model: str, num: int | None = None, steps: int | None = None):
    """A surrogate: square roots of counts, which have a similar deviation for all means, less
    the noise that makes them continuous. The counts of days are independent given θ.
    """
    steps = FieldReference(steps or STEPS[model])
    network, pieces, ema = MLP((128, 128), activation='silu'), flow.Spline(bins=8), (0.999,)
    optimizer = spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps))
    if model == 'tuned':
        network = MLP((64, 64, 64, 64), activation='silu', frequencies=(2.0,))
        # Beyond its bound a spline is the identity: .3 % of draws for 3, 6e-7 for 5.
        pieces, ema = flow.Spline(bins=10, bound=5.0), ()
        optimizer = spec(
            optax.contrib.muon,
            spec(optax.cosine_decay_schedule, 2e-2, steps),
            muon_weight_dimension_numbers=MuonWeights(),
        )
    affine = flow.Conditioned(network, flow.Affine(bound=6.0))
    spline = flow.Conditioned(MLP((64, 64), activation='silu'), pieces)
    layers = (affine,) if model == 'gaussian' else (affine, spline)
    return spec(
        Experiment,
        dataset=Simulations(
            Rescaled(Dequantised(Epidemic()), 'sqrt'),
            num or SIMULATIONS[model],
            modelled='observations',
        ),
        preprocess=Chain((Standardise(),)),
        model=Flow(flow.Chain(layers=layers), (10,), context_shape=(2,)),
        optimizer=optimizer,
        steps=steps,
        steps_per_call=10,
        batch_size=512,
        clip_norm=1.0,
        ema=ema,
        log_every=1000,
        checkpoint_every=0,
    )


def counts_of(run: genjax.Run, z: np.ndarray, seed: int) -> np.ndarray:
    """Counts [N, 10] drawn by a surrogate, one for each row of z [N, 2]."""
    root = run.sample(len(z), context=z, seed=seed, batch_size=10_000)
    return np.clip(np.floor(np.maximum(root, 0) ** 2), 0, 1000)


def mean_counts(run: genjax.Run, z: np.ndarray) -> np.ndarray:
    """Means [T, 10] of a surrogate's counts given each row of z [T, 2], as sums of P(count > k),
    without the noise of draws.
    """
    edges = np.sqrt(np.arange(1, 1001, dtype=np.float32))
    rows = np.tile(edges[:, None], (len(z), 10))
    codes = run.encode(rows, context=np.repeat(z, len(edges), axis=0))[:, :10]
    return np.sum(ndtr(-codes).reshape(len(z), -1, 10), axis=1)


@jax.jit
def _simulated(key: Array, z: Array) -> Array:
    return Epidemic().simulate(key, z)


def simulated(z: np.ndarray, seed: int) -> np.ndarray:
    """Counts [N, 10] drawn by the simulator."""
    return np.asarray(_simulated(jax.random.key(1000 + seed), z))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """W₁ [T, D] in each coordinate between samples a and b [T, N, D]."""
    return np.mean(np.abs(np.sort(a, axis=1) - np.sort(b, axis=1)), axis=1)


def ratios(found: np.ndarray, floor: np.ndarray) -> dict[str, list[float]]:
    """Ratio of the means over θ of two distances [T, D], by coordinate, with the standard error
    over the θ (the delta method).
    """
    ratio = found.mean(axis=0) / floor.mean(axis=0)
    spread = np.std(found - ratio * floor, axis=0, ddof=1) / np.sqrt(len(found))
    return {'ratio': ratio.tolist(), 'stderr': (spread / floor.mean(axis=0)).tolist()}


def grid_posterior(
    log_likelihood: Callable[[np.ndarray], np.ndarray], num: int, seed: int
) -> np.ndarray:
    """Draws z [num, 2] from prior times likelihood, tabulated: on a grid of the whole prior, and on
    a finer one of the box around those points that are at most exp(-12) times the likeliest.
    """
    low, high = np.full(2, -EDGE), np.full(2, EDGE)
    for points in (COARSE, FINE):
        step = (high - low) / points
        axes = [low[i] + step[i] * (np.arange(points) + 0.5) for i in (0, 1)]
        z = np.stack(np.meshgrid(*axes, indexing='ij'), -1).reshape(-1, 2).astype(np.float32)
        log_p = log_likelihood(z).astype(np.float64) - 0.5 * np.sum(z**2, axis=1)
        log_p -= log_p.max()
        near = z[log_p > -12]
        low, high = near.min(axis=0) - 1.5 * step, near.max(axis=0) + 1.5 * step
    random = np.random.default_rng(seed)
    p = np.exp(log_p)
    chosen = random.choice(len(z), num, p=p / p.sum())
    return z[chosen] + step * random.uniform(-0.5, 0.5, (num, 2))


def calibration(likelihood: Callable, z: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """P-value of the ranks of true z [T, 2] among posterior samples given x [T, 10], with
    `likelihood(z, x)`, and the mean standard deviation of the posteriors.
    """
    samples = np.stack([
        grid_posterior(functools.partial(likelihood, x=each), SAMPLES, seed)
        for seed, each in enumerate(x)
    ])  # fmt: skip
    width = float(np.mean(np.std(samples, axis=1)))
    return {'sbc_p': rank_test(sbc_ranks(samples, z), SAMPLES), 'deviation': width}


def surrogate_likelihood(run: genjax.Run) -> Callable[..., np.ndarray]:
    """log p(x | z) [N] of z [N, 2] and one count vector x [10], by a run."""
    task, preprocess = run.experiment.dataset.task, run.experiment.preprocess

    def likelihood(z: np.ndarray, x: np.ndarray) -> np.ndarray:
        rows = np.broadcast_to(np.asarray(observed(task, x)), (len(z), 10))
        return log_prob(run.model, preprocess, run.variables, rows, 0, context=z).value

    return likelihood


def measure(out: Path, seeds: list[int]) -> list[dict]:
    """Trains and measures all surrogates; each row is stored as it ends."""
    out.mkdir(parents=True, exist_ok=True)
    z = np.random.default_rng(0).standard_normal((THETAS, 2)).astype(np.float32)
    each = np.repeat(z, DRAWS, axis=0)
    first, second, third = (simulated(each, seed).reshape(THETAS, DRAWS, 10) for seed in range(3))
    floor = distances(first, second)
    begin = time.process_time()
    simulated(each, 3)
    simulator_s = time.process_time() - begin
    truth, x = z[:POSTERIORS], first[:POSTERIORS, 0]
    rows = [{
        'model': 'simulator', 'seed': 0, 'sample_s': simulator_s,
        **ratios(distances(first, third), floor), **calibration(exact_likelihood, truth, x),
        'w1': floor.mean(axis=0).tolist(),
    }]  # fmt: skip
    for seed in seeds:
        for model in MODELS:
            record = out / f'{model}-{seed}.json'
            given = model, seed, out, each, first, floor, truth, x
            rows.append(records.once(record, measured, *given))
            short = {name: rows[-1][name] for name in ('model', 'seed', 'ratio', 'sbc_p')}
            print(json.dumps(short), flush=True)
    return rows


def measured(
    model: str, seed: int, out: Path, each: np.ndarray, first: np.ndarray, floor: np.ndarray,
    truth: np.ndarray, x: np.ndarray,
) -> dict:  # fmt: skip
    """Results of one surrogate: CPU seconds of training and of a draw given each row of `each`."""
    config = config_of(model)
    config.seed = seed
    begin = time.process_time()
    run = genjax.train(config, out / f'{model}-{seed}')
    trained = time.process_time()
    counts_of(run, each[:10_000], seed)  # compiles
    drawing = time.process_time()
    counts = counts_of(run, each, seed).reshape(first.shape)
    drawn = time.process_time()
    # The simulator's law with the surrogate's means: only its location is wrong.
    share = np.clip(mean_counts(run, each[:: first.shape[1]]) / 1000, 0, 1)[:, None]
    near = np.random.default_rng(seed).binomial(1000, share, first.shape)
    return {
        'model': model, 'seed': seed, 'train_s': trained - begin, 'sample_s': drawn - drawing,
        **ratios(distances(first, counts), floor),
        'location': ratios(distances(first, near), floor)['ratio'],
        'shape': ratios(distances(near, counts), floor)['ratio'],
        **calibration(surrogate_likelihood(run), truth, x),
    }  # fmt: skip


@jax.jit
def _exact(z: Array, x: Array) -> Array:
    return Epidemic().log_likelihood(z, x)


def exact_likelihood(z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """log p(x | z) [N] of z [N, 2] and one count vector x [10], by the solved equations."""
    return np.asarray(_exact(z, jnp.broadcast_to(x, (len(z), 10))))


def report(rows: list[dict]) -> str:
    """The table: mean ± standard deviation over the seeds, and the p-values of all."""
    lines = [
        '| | W₁ ratio, mean of the days | worst day | SBC p | deviation of posteriors |'
        ' training, s | draws per s |',
        '|---' * 7 + '|',
    ]

    for model in ('simulator', *MODELS):
        found = [row for row in rows if row['model'] == model]
        cells = [
            records.spread([np.mean(row['ratio']) for row in found], 3),
            records.spread([max(row['ratio']) for row in found], 3),
            ', '.join(f'{row["sbc_p"]:.2g}' for row in found),
            records.spread([row['deviation'] for row in found], 4),
            records.spread([row['train_s'] for row in found], 0) if model in MODELS else '',
            records.spread([THETAS * DRAWS / row['sample_s'] for row in found], 0),
        ]
        lines.append(f'| {model} | {" | ".join(cells)} |')
    days = ' | '.join(str(17 * day) for day in range(10))
    lines += ['', f'| W₁ ratio on day | {days} |', '|---' * 11 + '|']
    for model in ('simulator', *MODELS):
        found = [row for row in rows if row['model'] == model]
        for part, name in (('ratio', ''), ('location', ', location'), ('shape', ', shape')):
            if all(part in row for row in found):
                ratio = np.mean([row[part] for row in found], axis=0)
                cells = ' | '.join(f'{value:.2f}' for value in ratio)
                lines.append(f'| {model}{name} | {cells} |')
    return '\n'.join(lines)


def plot(rows: list[dict]) -> Figure:
    """The ratio on each day, with its standard error; a line for each seed."""
    figure = Figure(figsize=(6, 3.4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = {
        'simulator': 'the simulator again', 'flow': 'flow', 'tuned': 'flow, tuned',
        'gaussian': 'Gaussian head',
    }  # fmt: skip
    for number, (model, name) in enumerate(names.items()):
        for row in (row for row in rows if row['model'] == model):
            label = name if row['seed'] == 0 else None
            axes.errorbar(
                17 * np.arange(10) + 2 * row['seed'] - 2, row['ratio'], row['stderr'], fmt='.-',
                color=f'C{number}', label=label, capsize=2, linewidth=1,
            )  # fmt: skip
    axes.axhline(1.1, color='grey', linestyle=':')
    axes.set(xlabel='day', ylabel='W₁ to the simulator,\nin units of its own', yscale='log')
    axes.legend()
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
