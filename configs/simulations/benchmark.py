"""Three estimators of posteriors on five tasks of the benchmark of Lueckmann et al. (2021).

    genjax train --config=configs/simulations/benchmark.py:npe_two_moons --workdir=runs/npe

The argument is `<estimator>_<task>`: npe, a spline flow of parameters given the observation; fmpe,
flow matching of the same; nle, a spline flow of observations given parameters. Tasks are linear,
mixture, two_moons, slcp and sir. 10,000 simulations: flows train on 8,000, and keep the checkpoint
with the best likelihood of 2,000.

Expected of npe_two_moons: KL(posterior ‖ model) of .201 nats, averaged over 2,000 observations, and
p-values of .47, .16 and .64 in the three tests of calibration, after 40 seconds of processor time.
C2ST over the ten observations of sbibm, seed 0: mixture .586, two_moons .549, sir .629, slcp .908,
and linear .547 over three (published for NPE: .661, .606, .680, .901, .552); the study is
experiments/posteriors. Of fmpe and nle no figures are measured.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Simulations, Standardise
from genjax.data.simulators import (
    SIR,
    SLCP,
    Dequantised,
    GaussianLinear,
    GaussianMixture,
    Rescaled,
    TwoMoons,
)
from genjax.evaluation import Likelihood
from genjax.inference import Calibration
from genjax.models import DiffusionModel, Flow, flow
from genjax.networks import MaskedMLP, TimeMLP
from genjax.training import Experiment

TASKS = {
    'linear': GaussianLinear(),
    'mixture': GaussianMixture(),
    'two_moons': TwoMoons(),
    'slcp': Rescaled(SLCP(), 'arcsinh'),
    'sir': Rescaled(SIR(), 'log1p'),
}


def get_config(run: str = 'npe_two_moons'):
    estimator, name = run.split('_', 1)
    task = TASKS[name]
    shapes = (task.num_parameters,), task.observation_shape
    if estimator == 'nle':
        shapes = shapes[::-1]
        if name == 'sir':
            task = Rescaled(Dequantised(SIR()), 'log1p')
    modelled = 'observations' if estimator == 'nle' else 'parameters'
    model = _flow_matching(*shapes) if estimator == 'fmpe' else _splines(*shapes)
    steps = FieldReference(6000 if estimator == 'fmpe' else 3000)
    evals = {'nll': Likelihood(split='validation', every=250)}
    return spec(
        Experiment,
        dataset=Simulations(task, 10_000 if estimator == 'fmpe' else 8000, modelled=modelled),
        preprocess=Chain((Standardise(),)),
        model=model,
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=256,
        clip_norm=1.0,
        ema=(0.99,) if estimator != 'fmpe' else (0.999,),
        log_every=250,
        evals={} if estimator == 'fmpe' else evals | {'calibration': Calibration()},
        best=None if estimator == 'fmpe' else 'nll',
        num_samples=2000,
    )


def _splines(shape: tuple[int, ...], context_shape: tuple[int, ...]):
    """A linear map given the context, and five autoregressive layers of splines."""
    linear = flow.Autoregressive(MaskedMLP(()))
    spline = flow.Autoregressive(MaskedMLP((64, 64), activation='silu'), flow.Spline(bins=8))
    splines = flow.Repeat(flow.Chain(layers=(spline, flow.Reverse())), num=5)
    return Flow(flow.Chain(layers=(linear, splines)), shape, context_shape=context_shape)


def _flow_matching(shape: tuple[int, ...], context_shape: tuple[int, ...]):
    """Straight paths from parameters to noise, with a residual network."""
    network = TimeMLP(shape, features=128, num_layers=4)
    return DiffusionModel(
        network, context_shape=context_shape, condition_dropout=0.0, tolerance=1e-4
    )
