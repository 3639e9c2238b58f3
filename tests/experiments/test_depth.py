"""The study of depth from shading: stereo against closed forms, its page, and a small model."""

import json
from pathlib import Path

import numpy as np
import pytest

import genjax
from experiments.depth import run as study
from experiments.depth import stereo
from genjax.data import Reliefs
from genjax.data.toy import reliefs as world

pytestmark = pytest.mark.slow


def test_stereo_finds_reliefs_without_noise_and_errs_as_least_squares_does():
    exact = study.photometric(0.0, 16, num=5)
    assert exact['angle'] < 1e-6 and exact['height'] < 1e-6
    lights = Reliefs(num_lights=6).lights
    flat = np.array([0.0, 0.0, 1.0])
    noise = 0.01 * np.random.default_rng(0).standard_normal((100_000, 6))
    found = stereo.estimate_normals(world.shade(flat, lights) + noise, lights, 0.0)
    # Across the view each component has the variance σ² / (6 sin²45° / 2).
    wanted = np.degrees(0.01 / np.sqrt(1.5) * np.sqrt(np.pi / 2))
    assert stereo.angles(found, flat).mean() == pytest.approx(wanted, rel=0.01)
    shaded = world.shade(flat, lights) * [0, 1, 1, 1, 1, 1]  # one light does not reach it
    np.testing.assert_allclose(stereo.estimate_normals(shaded, lights, 1e-6), flat, atol=1e-12)


def test_slopes_are_integrated_to_the_closest_surface():
    x, y = np.meshgrid(np.arange(32) / 2, np.arange(32) / 2, indexing='ij')
    wave = 2 * np.pi / 16 * np.array([2, -1])
    phase = wave[0] * x + wave[1] * y
    p, q = -wave[0] * np.sin(phase), -wave[1] * np.sin(phase)
    np.testing.assert_allclose(stereo.integrate(p, q, 0.5), np.cos(phase), atol=1e-12)
    turned = stereo.integrate(
        p - 0.3 * wave[1] * np.sin(phase), q + 0.3 * wave[0] * np.sin(phase), 0.5
    )
    np.testing.assert_allclose(turned, np.cos(phase), atol=1e-12)  # a curl is nobody's slope


def test_scores_of_exact_draws_and_the_best_constant():
    random = np.random.default_rng(0)
    depth = np.exp(random.standard_normal(50_001))
    # Weighted by 1 / x, the law of log x moves from N(0, 1) to N(-1, 1).
    best = study.best_constant(depth)
    assert best == pytest.approx(np.exp(-1), rel=0.03)
    for other in (0.97 * best, 1.03 * best):
        assert study.abs_rel(best, depth) < study.abs_rel(other, depth)
    truth = 5 + random.standard_normal((300, 4, 4))
    maps = np.sort(5 + random.standard_normal((300, study.DRAWS, 4, 4)), axis=1)
    found = study.of_maps(maps, truth)
    assert found['coverage'] == pytest.approx(0.9, abs=0.02)
    assert 2 * study.NORMAL < found['width'] < 2.15 * study.NORMAL


def test_in_the_linear_world_regression_is_the_exact_mean():
    dataset = Reliefs(train_size=8000, linear=True)
    train, test = (dataset.source(s)[np.arange(n)] for s, n in (('train', 8000), ('test', 2000)))
    found = study.without_model(dataset, train, test)
    assert found['regression']['rmse'] == pytest.approx(found['exact']['rmse'], rel=0.04)
    assert found['exact']['coverage'] == pytest.approx(0.9, abs=0.01)
    assert found['exact']['abs_rel'] < 0.25 * found['constant']['abs_rel']


def test_the_tables_of_the_page_are_those_of_the_results():
    found = json.loads(study.RESULTS.read_text())
    assert len({row['seed'] for row in found['runs']}) >= 3
    assert study.report(found) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_a_small_model_sees_depth_and_knows_how_well(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    run = genjax.train(study.config('linear', 1500, 20_000, 96), tmp_path / 'run')
    test = run.experiment.dataset.source('test')[np.arange(30)]
    truth = test['x'][..., 0]
    found = study.of_maps(study.drawn(run, test['context'], 0), truth)
    assert found['abs_rel'] < 0.5 * study.abs_rel(study.best_constant(truth), truth)
    assert found['coverage'] == pytest.approx(0.9, abs=0.08)
