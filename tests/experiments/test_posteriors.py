"""The study of `experiments/posteriors`: a posterior that is known."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.posteriors import run as study
from genjax.config import spec
from genjax.data.simulators import GaussianLinear
from genjax.inference import Calibration
from genjax.models import Flow
from genjax.models.flow import Autoregressive
from genjax.networks import MaskedMLP

pytestmark = pytest.mark.slow


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_a_linear_posterior_is_learned_and_its_prior_is_told_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    task, key = GaussianLinear(), jax.random.key(0)
    x = task.simulate(key, task.prior_sample(key, 1))[0]
    np.savez(tmp_path / 'linear.npz', obs_1=x, ref_1=task.posterior_sample(key, x, 300))
    monkeypatch.setattr(study, 'SAMPLES', 300)
    monkeypatch.setattr(study, 'observations', lambda task, seed: range(1, 2))
    monkeypatch.setattr(study, 'Calibration', lambda: Calibration(num=50, draws=20))
    config = study.config_of('linear', 0)
    # Without the splines: programs of tests are not optimised.
    layer = spec(Autoregressive, spec(MaskedMLP, ()))
    with config.ignore_type():
        config.model = spec(Flow, layer, (10,), context_shape=(10,))
    config.steps, config.optimizer.learning_rate.init_value = 400, 1e-2
    monkeypatch.setattr(study, 'config_of', lambda task, seed: config)
    record = study.train('linear', 0, tmp_path, tmp_path)
    assert min(record[name] for name in ('sbc_p', 'coverage_p', 'tarp_p')) > 1e-3
    (found,) = study.judge(record, tmp_path, tmp_path)
    assert found < 0.6
    np.savez(tmp_path / 'npe-linear-1.npz', samples=task.prior_sample(key, 300)[None])
    (found,) = study.judge({**record, 'seed': 1}, tmp_path, tmp_path)
    assert found > 0.75
