"""genjax beside flowjax and normflows, on densities in the plane that are known in closed form.

    pip install flowjax normflows        # beside genjax; normflows brings PyTorch
    python -m experiments.densities.libraries --out=runs/libraries [--models maf] [--seeds 0 1]

Trains three flows with each library and prints a table of KL(data ‖ model) in nats ± its standard
error over the test points (with several seeds: mean ± standard deviation). What is done already is
not done again. The same for all: batches and their order, steps, optimizer, schedule and clipping
(those of configs/densities), test points, SiLU, data of mean 0 and variance 1 at the start (genjax
by its ActNorm, the others by the moments of the training data), and the layers:

- realnvp: 16 affine couplings, MLP 64-64
- maf: 16 masked affine autoregressive layers, masked MLP 64-64
- nsf: 8 rational-quadratic couplings of 8 bins on [-3, 3], linear outside, MLP 64-64

Everything else is as each library has it. What differs:

- The scale of an affine map: exp(3 tanh(s / 3)) in genjax and in couplings of normflows (where
  the default, exp(s), overflows at this learning rate), softplus(s) + .01 in flowjax, and
  sigmoid(s + 2) + .001 in autoregressive layers of normflows, which shrink but cannot stretch.
- The spline: flowjax learns the slopes at both ends too, 25 numbers and not 23.
- The start: layers of genjax and couplings of normflows are the identity, those of flowjax near
  it; autoregressive ones of normflows shrink by .88, so the noise starts narrower by as much. The
  hidden weights of genjax's networks start 2.4 times as large as the default of the other two.
- Four parameters outside of the layers: genjax's ActNorm, the others' mean and scale of the noise.
- Judged are genjax's averaged weights (the config's `ema`) and the others' last ones: nearly the
  same after the cosine decay to zero.

Where a run diverges the table says so; `--learning_rate` sets another rate for all. Seconds are
of a whole run: compilation, training, test, and genjax's checkpoint and picture.
"""

import argparse
import functools
import itertools
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments import records
from genjax import config as configs
from genjax.data.pipeline import train_batches
from genjax.data.toy.densities import DENSITIES
from genjax.errors import Interrupted
from genjax.evaluation import KL
from genjax.models.base import num_params
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.results import cached_results

try:
    import equinox as eqx
    import normflows as nf
    import paramax
    import torch
    from flowjax import bijections, distributions, flows, train
    from flowjax.train.losses import MaximumLikelihoodLoss
    from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
except ModuleNotFoundError as error:
    sys.exit(f'there is no {error.name} here: pip install flowjax normflows')

LAYERS = {'realnvp': 16, 'maf': 16, 'nsf': 8}
WIDTH, BINS, BOUND = 64, 8, 3.0

Batches = Iterable[np.ndarray]
Fitted = tuple[Callable[[np.ndarray], np.ndarray], int]  # x [B, 2] to log q [B]; parameters


def config_of(
    model: str, density: str, seed: int, steps: int, learning_rate: float | None
) -> ConfigDict:
    """The config of the genjax run, from which the other libraries take what is the same."""
    config = configs.load(f'configs/densities/{model}.py')
    repeat = 'model.bijection.layers[1]'  # after the ActNorm
    layer = f'{repeat}.layer.layers[0]'
    changes = {
        'dataset.name': density,
        'seed': seed,
        'steps': steps,
        'optimizer.learning_rate.decay_steps': steps,
        'evals': {'test_kl': configs.spec(KL)},
        f'{repeat}.num': LAYERS[model],
        f'{layer}.network.features': (WIDTH, WIDTH),
    }
    if model == 'nsf':
        changes |= {f'{layer}.transform.bins': BINS, f'{layer}.transform.bound': BOUND}
    if learning_rate:
        changes['optimizer.learning_rate.init_value'] = learning_rate
    for path, value in changes.items():
        configs.override(config, path, value)
    return config


def run_genjax(model: str, config: ConfigDict) -> dict:
    """Trains with genjax's own loop; returns the results."""
    del model  # the config says it
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / 'run'
        try:
            loop.train(config, workdir)
        except Interrupted:  # what it saved is lost with the folder
            sys.exit('stopped; the same command does this run from its beginning')
        run = runs.load(workdir, 'latest')
        results = cached_results(run)
    params = num_params(run.state.variables)  # those that a mask hides are counted, here and below
    return {'kl': results['test_kl/kl'], 'stderr': results['test_kl/stderr'], 'params': params}


def run_peer(fit: Callable, model: str, config: ConfigDict) -> dict:
    """Trains with another library, on genjax's batches made standard; returns the figures."""
    dataset = configs.build(config.dataset)
    source, test = (dataset.source(split) for split in ('train', 'test'))
    points = source[np.arange(len(source))]['x'].astype(np.float64)
    mean, std = points.mean(axis=0), points.std(axis=0)

    def standard(x: np.ndarray) -> np.ndarray:
        return ((x - mean) / std).astype(np.float32)

    batches = train_batches(source, batch_size=config.batch_size, seed=config.seed)
    batches = itertools.islice(batches, config.steps)
    log_prob, params = fit(model, config, (standard(batch['x']) for batch in batches))
    x = test[np.arange(len(test))]['x']
    log_q = log_prob(standard(x)) - np.log(std).sum()
    log_ratio = np.asarray(dataset.log_prob(x), np.float64) - log_q
    stderr = log_ratio.std(ddof=1) / math.sqrt(len(x))
    return {'kl': float(log_ratio.mean()), 'stderr': float(stderr), 'params': params}


def fit_flowjax(model: str, config: ConfigDict, batches: Batches) -> Fitted:
    """Trains a flow of flowjax with its own step; returns its log-density and its parameters."""
    make = flows.masked_autoregressive_flow if model == 'maf' else flows.coupling_flow
    spline = bijections.RationalQuadraticSpline(knots=BINS - 1, interval=BOUND)
    flow = make(
        jax.random.key(config.seed),
        base_dist=distributions.Normal(jnp.zeros(2)),
        transformer=spline if model == 'nsf' else None,  # None: affine
        flow_layers=LAYERS[model],
        nn_width=WIDTH,
        nn_depth=2,
        nn_activation=jax.nn.silu,
    )
    clip = optax.clip_by_global_norm(config.clip_norm)
    optimizer = optax.chain(clip, configs.build(config.optimizer))
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    state = optimizer.init(params)
    loss = MaximumLikelihoodLoss()
    for x in batches:
        params, state, _ = train.step(
            params, static, x, optimizer=optimizer, opt_state=state, loss_fn=loss
        )
    trained = paramax.unwrap(eqx.combine(params, static))
    return eqx.filter_jit(trained.log_prob), sum(leaf.size for leaf in jax.tree.leaves(params))


class Conditioner(torch.nn.Sequential):
    """The MLP of normflows' couplings; its last layer starts at zero weights and one bias."""

    hidden_features = WIDTH  # the spline coupling scales its parameters by it

    def __init__(self, inputs: int, outputs: int, bias: float):
        nn = torch.nn
        first, second = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, WIDTH)
        super().__init__(first, nn.SiLU(), second, nn.SiLU(), nn.Linear(WIDTH, outputs))
        nn.init.zeros_(self[-1].weight)
        nn.init.constant_(self[-1].bias, bias)

    def forward(self, x: torch.Tensor, context: None = None) -> torch.Tensor:
        """Parameters of the features that change."""
        return super().forward(x)


class BoundedScale(Conditioner):
    """Gives shift and log-scale, which stays in ±3 as in genjax: unbounded, it soon overflows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Parameters of the feature that changes."""
        shift, log_scale = super().forward(x).chunk(2, dim=1)
        return torch.cat([shift, 3 * torch.tanh(log_scale / 3)], dim=1)


def normflows_layer(model: str) -> nf.flows.Flow:
    """A layer of normflows, which maps noise to data."""
    if model == 'realnvp':
        layer = nf.flows.AffineCouplingBlock(BoundedScale(1, 2, bias=0.0))
    elif model == 'maf':
        layer = nf.flows.MaskedAffineAutoregressive(
            2, WIDTH, num_blocks=1, use_residual_blocks=False, activation=torch.nn.functional.silu
        )
    else:
        unit = math.log(math.expm1(1 - 1e-3))  # slopes of 1; equal widths and heights stay equal
        net = functools.partial(Conditioner, bias=unit)
        mask = torch.tensor([0, 1])
        layer = PiecewiseRationalQuadraticCoupling(mask, net, BINS, 'linear', BOUND)
    return nf.flows.Reverse(layer)  # it is the map from data to noise, as in the other libraries


def fit_normflows(model: str, config: ConfigDict, batches: Batches) -> Fitted:
    """Trains a flow of normflows; returns its log-density and its parameters."""
    torch.manual_seed(config.seed)
    layers = []
    for _ in range(LAYERS[model]):
        layers += [normflows_layer(model), nf.flows.Permute(2, mode='swap')]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2), layers)
    if model == 'maf':  # so that the whole starts with the data's scale
        shrinking = math.log(1 / (1 + math.exp(-2)) + 1e-3)  # of a layer
        torch.nn.init.constant_(flow.q0.log_scale, LAYERS[model] * shrinking)
    params = list(flow.parameters())
    rate = config.optimizer.learning_rate.init_value
    optimizer = torch.optim.Adam(params, lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    for x in batches:
        optimizer.zero_grad()
        flow.forward_kld(torch.from_numpy(x)).backward()
        torch.nn.utils.clip_grad_norm_(params, config.clip_norm)
        optimizer.step()
        schedule.step()

    @torch.no_grad()
    def log_prob(x: np.ndarray) -> np.ndarray:
        return flow.log_prob(torch.from_numpy(x)).numpy()

    return log_prob, sum(parameter.numel() for parameter in params)


LIBRARIES = {
    'genjax': run_genjax,
    'flowjax': functools.partial(run_peer, fit_flowjax),
    'normflows': functools.partial(run_peer, fit_normflows),
}


def figures_of(library: str, model: str, config: ConfigDict, out: Path) -> dict:
    """The figures of one run, which is done if it has not been."""
    rate = config.optimizer.learning_rate.init_value
    name = f'{library}-{model}-{config.dataset.name}-{config.steps}-{rate:g}-{config.seed}'

    def measure() -> dict:
        configs.build(config.dataset).source('train')  # drawn once, and in nobody's time
        start = time.perf_counter()
        figures = LIBRARIES[library](model, config)
        figures['seconds'] = time.perf_counter() - start
        print(name, figures, flush=True)
        return figures

    return records.once(out / f'{name}.json', measure)


def cell(figures: list[dict]) -> str:
    """KL with its uncertainty: over the test points of one seed, or between several seeds."""
    kl = [figure['kl'] for figure in figures]
    if diverged := sum(not math.isfinite(value) for value in kl):
        return f'{diverged} of {len(kl)} diverged'
    spread = statistics.stdev(kl) if len(kl) > 1 else figures[0]['stderr']
    return f'{statistics.mean(kl):.4f} ± {spread:.4f}'


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='the folder of the figures')
    parser.add_argument('--models', nargs='+', choices=LAYERS, default=[*LAYERS])
    parser.add_argument('--densities', nargs='+', choices=[*DENSITIES], default=[*DENSITIES])
    parser.add_argument('--steps', type=int, default=3000, help='of training; a multiple of 10')
    parser.add_argument('--learning_rate', type=float, help="for all; the config's without it")
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    args = parser.parse_args()
    logging.getLogger('absl').setLevel(logging.ERROR)  # Orbax warns of reading
    threads = len(os.sched_getaffinity(0))  # as JAX does
    torch.set_num_threads(threads)
    rows = []
    for model, library in itertools.product(args.models, LIBRARIES):
        cells, seconds = [], []
        for density in args.densities:
            figures = []
            for seed in args.seeds:
                config = config_of(model, density, seed, args.steps, args.learning_rate)
                figures.append(figures_of(library, model, config, args.out))
            cells.append(cell(figures))
            seconds += [figure['seconds'] for figure in figures]
        ends = f'{figures[0]["params"]:,} | {statistics.median(seconds):.0f}'
        rows.append(f'| {model} | {library} | {" | ".join(cells)} | {ends} |')
    libraries = ('jax', 'flowjax', 'normflows', 'torch')
    versions = ', '.join(f'{name} {metadata.version(name)}' for name in libraries)
    print(f'\n{args.steps:,} steps, {len(args.seeds)} seed(s), {threads} thread(s), {versions}\n')
    print(f'| model | library | {" | ".join(args.densities)} | parameters | seconds |')
    print('|---' * (len(args.densities) + 4) + '|')
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
