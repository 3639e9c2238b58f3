"""The study of `experiments/trilemma`: families of equal size and cost, and where they stand."""

import json

import jax
import numpy as np
import pytest

from experiments.trilemma import avatars, digits
from experiments.trilemma.analyse import front
from experiments.trilemma.families import STEPS
from genjax.config import build
from genjax.models.base import num_params
from genjax.training import loading, loop
from genjax.training.results import cached_results

pytestmark = pytest.mark.slow

STUDIES = {'digits': (digits, (8, 8, 1)), 'avatars': (avatars, (32, 32, 3))}


@pytest.mark.parametrize('data', STUDIES)
def test_families_have_equal_parameters_and_seconds(data):
    study, shape = STUDIES[data]
    batch = {'x': jax.ShapeDtypeStruct((2, *shape), np.float32)}
    sizes = []
    for family in study.FAMILIES:
        model = build(study.config(family, 50)).model
        sizes.append(num_params(jax.eval_shape(model.init, jax.random.key(0), batch)))
    assert max(sizes) / min(sizes) < 1.2
    measured = json.loads(STEPS.read_text())[data]
    for family, steps in measured['steps'].items():
        seconds = steps * measured['ms_per_step'][family] / 1e3
        assert seconds == pytest.approx(measured['seconds'], rel=0.05)


def test_the_front_has_whom_no_other_equals_in_all_corners():
    def family(distance, recall, cost):
        names = 'fd/distance', 'prdc/recall', 'speed/gflops_per_sample'
        return {
            name: np.array([v]) for name, v in zip(names, (distance, recall, cost), strict=True)
        }

    values = {'a': family(1, 0.5, 9), 'b': family(2, 0.5, 1), 'c': family(2, 0.4, 1)}
    assert front(values, 0) == ['a', 'b']


@pytest.mark.full
def test_vae_gan_and_diffusion_on_digits(tmp_path, monkeypatch):
    """A fifth of the training, one seed."""
    monkeypatch.setattr('jax.device_count', lambda: 1)
    found = {}
    for family in ('vae', 'gan', 'diffusion'):
        config = digits.get_config(family)
        config.steps = config.steps // 50 * 10
        for name in {*config.evals} - {'fd', 'prdc', 'speed'}:
            del config.evals[name]
        loop.train(config, tmp_path / family)
        found[family] = cached_results(loading.load(tmp_path / family))
    assert [r['speed/network_evaluations'] for r in found.values()] == [1, 1, 100]
    recall = {family: results['prdc/recall'] for family, results in found.items()}
    assert recall['gan'] < recall['vae']
    cost = {family: results['speed/gflops_per_sample'] for family, results in found.items()}
    assert cost['diffusion'] > 50 * max(cost['vae'], cost['gan'])
