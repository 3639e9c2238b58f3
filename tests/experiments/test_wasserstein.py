"""The study of `experiments/wasserstein`: both players of `configs/gaussians/wgan_gp.py`."""

from pathlib import Path

import pytest

from genjax import config as configs
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.results import cached_results

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parents[2] / 'configs' / 'gaussians' / 'wgan_gp.py'


@pytest.mark.full
@pytest.mark.parametrize('seed', [0, 1])
def test_samples_end_near_the_data(tmp_path, monkeypatch, seed):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    config = configs.load(str(CONFIG))
    config.seed = seed
    loop.train(config, tmp_path)
    assert cached_results(runs.load(tmp_path))['w1/exact'] <= 0.35
