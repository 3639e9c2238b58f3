"""Every evaluator gives on four devices, and in two processes, the results of one device."""

import json
from pathlib import Path

import numpy as np
import pytest

from genjax import evaluation, inference
from genjax.evaluation import Evaluator
from tests.training.processes import Processes, said

ROOT = Path(__file__).parents[2]
SMALL = {'num_samples': 60, 'batch_size': 22}  # neither divides over four devices
NOVELTY = {
    'other': '@genjax.data.Corrupted',
    'other.base': '@genjax.data.Digits',
    'other.kind': 'noise',
    'other.strength': 0.3,
}

# Config, evaluators with fields of theirs, and fields of the config.
CASES = {
    'digits/vae': (
        {
            'FrechetDistance': SMALL,
            'KernelDistance': SMALL,
            'PrecisionRecall': SMALL,
            'Vendi': SMALL,
            'Copying': SMALL | {'features': '@genjax.evaluation.PCA', 'features.num': 8},
            'MMD': SMALL,
            'Likelihood': {'batch_size': 22},
            'Reconstruction': {'batch_size': 22},
            'AggregatePosterior': {'batch_size': 22},
            'Novelty': NOVELTY
            | {'scores': '("log_prob","typicality","mahalanobis")'}
            | {'num_examples': 60},
        },
        {'model.eval_samples': 2},
    ),
    'digits/linear': (
        {
            'AIS': {'num_steps': 10, 'num_chains': 2, 'batch_size': 22, 'num_batches': 2},
            'RateDistortion': {'batch_size': 22, 'num_draws': 2},
        },
        {'model.eval_samples': 2},
    ),
    'digits/classifier_mlp': (
        {
            'Accuracy': {'batch_size': 22},
            'Adversarial': {'radii': '(0.1,)', 'num_examples': 60, 'batch_size': 22},
            'Selective': {'batch_size': 22},
            'Probe': {},
            'Novelty': NOVELTY | {'scores': '("energy","mahalanobis")'},
        },
        {},
    ),
    'digits/vae_conditional': ({'BayesRule': {'num_samples': 2}}, {}),
    'digits/flow_matching': (
        {'LabelAccuracy': SMALL, 'C2ST': SMALL},
        {'model.sampling.steps': 2},
    ),
    'digits/vq': ({'CodebookUse': {'batch_size': 22}}, {}),
    'digits/cyclegan': ({'TranslationAccuracy': {}}, {}),
    'jars/vae': ({'FactorR2': {}, 'Disentanglement': {}}, {}),
    'gaussians/wgan_gp': ({'CriticW1': {'num_samples': 60}}, {}),
    'gaussians/ring': ({'Modes': SMALL, 'Outliers': SMALL}, {}),
    'stacked_digits/gan': ({'ClassModes': SMALL}, {}),
    'avatars/stylegan2': (
        {'PerceptualPathLength': {'num_samples': 20, 'batch_size': 10}},
        {'model.generator.features': 2, 'model.discriminator.features': 2},
    ),
    'world/box': ({'Support': SMALL}, {}),
    'densities/realnvp': ({'KL': {'batch_size': 222}}, {}),
    'simulations/benchmark': (
        {
            'Calibration': {'num': 20, 'draws': 20},
            'PosteriorC2ST': {'num_observations': 2, 'num_samples': 60},
        },
        {'dataset.num': 500},
    ),
    'names/gpt': ({'TokenLikelihood': {'batch_size': 22}}, {'dataset.path': '{tmp}/names.txt'}),
}


@pytest.fixture(scope='module')
def processes():
    started = Processes()
    yield started
    started.close()


@pytest.mark.full
@pytest.mark.parametrize('name', CASES)
def test_devices_and_processes_do_not_change_results(name, processes, tmp_path):
    evals, fields = CASES[name]
    workdir, log = tmp_path / 'run', tmp_path / 'log'
    overrides = {'steps': 2, 'steps_per_call': 1, 'evals': '{{}}', 'best': None, **fields}
    words = [f'--config.{field}={value}'.format(tmp=tmp_path) for field, value in overrides.items()]
    letters = np.random.default_rng(0).choice(list('abcdefghijklmnopqrstuvwxyz'), (3000, 6))
    (tmp_path / 'names.txt').write_text('\n'.join(map(''.join, letters)))
    processes.start(
        ['train', f'--config={ROOT / "configs" / name}.py', f'--workdir={workdir}', *words], log
    )
    assert processes.wait() == 0, said(log)
    words = ['evaluate', f'--workdir={workdir}']
    words += ['--evals=' + ','.join(f'@{_module(each)}.{each}' for each in evals)]
    words += [
        f'--evals.{each.lower()}.{field}={value}' if len(evals) > 1 else f'--evals.{field}={value}'
        for each, options in evals.items()
        for field, value in options.items()
    ]
    results = []
    for count, devices in ((1, 1), (1, 4), (2, 2)):
        out = tmp_path / f'{count}x{devices}.json'
        children = processes.start_together(
            count, [*words, f'--out={out}'], log, devices, heartbeat=100
        )
        assert [processes.wait(child) for child in children] == [0] * count, said(f'{log}.0')
        results.append(json.loads(out.read_text())['results'])
    one, *others = results
    assert one
    for other in others:
        assert other.keys() == one.keys()
        for key, expected in one.items():
            if isinstance(expected, str):
                assert other[key] == expected
            else:
                # Path lengths divide small differences by a small step.
                rtol = 1e-3 if 'pathlength' in key else 1e-4
                np.testing.assert_allclose(other[key], expected, rtol, 1e-6, err_msg=key)


def _module(name):
    return next(m.__name__ for m in (evaluation, inference) if hasattr(m, name))


def test_every_evaluator_is_there():
    """But for bases, wrappers, and what measures the devices themselves."""
    others = {'Evaluator', 'FunctionEvaluator', 'InFeatures', 'PerExample', 'PerSample', 'Speed'}
    known = {
        n
        for n, v in [*vars(evaluation).items(), *vars(inference).items()]
        if isinstance(v, type) and issubclass(v, Evaluator)
    }
    assert known - others == {name for evals, _ in CASES.values() for name in evals}
