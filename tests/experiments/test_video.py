"""The study of films: its predictors against the world, its page, and a small model."""

import json
from pathlib import Path

import numpy as np
import pytest

import genjax
from experiments.video import forecasts
from experiments.video import run as study
from genjax.data import MovingDigits
from genjax.data.toy import moving_digits as world

pytestmark = pytest.mark.slow


def test_exact_samples_have_the_exact_entropy_and_baselines_are_where_they_should_be():
    data = MovingDigits(train_size=10)
    rows = data.source('test')[np.arange(1000)]
    drawn = forecasts.exact_sample(np.random.default_rng(0), rows['context'])
    of_world = np.asarray(data.log_prob(rows['x'], rows['context']), np.float64)
    of_drawn = np.asarray(data.log_prob(drawn.astype(np.uint8), rows['context']), np.float64)
    error = np.hypot(of_world.std(), of_drawn.std()) / np.sqrt(1000)
    assert abs(of_world.mean() - of_drawn.mean()) < 4 * error
    alone = forecasts.independent(rows['x'], rows['context']).mean()
    moved, copied = (
        forecasts.guess_log_prob(forecasts.GUESSES[name], rows, rows).mean()
        for name in ('reflected', 'copy')
    )
    assert copied < moved - 10 and moved < of_world.mean() - 2 and alone < of_world.mean() - 2


def test_places_of_films_without_noise_or_turns():
    """A digit that moves straight on, and bounces once."""
    places = np.array([[1, 5], [2, 6], [3, 7], [4, 6], [5, 5], [4, 4]])
    film = world.screens()[4, 8 * places[:, 0] + places[:, 1]][None]
    digit, found = world.read(film)
    assert np.all(digit == 4)
    np.testing.assert_array_equal(found[0], places)
    start, rest = film[:, :2], places[2:]
    np.testing.assert_array_equal(forecasts.extrapolate_reflected(start, 4)[0], rest)
    straight = [[3, 7], [4, 7], [5, 7], [5, 7]]
    np.testing.assert_allclose(forecasts.extrapolate_centroids(start, 4)[0], straight)
    np.testing.assert_array_equal(forecasts.draw_reflected(start), film[:, 2])
    np.testing.assert_array_equal(
        forecasts.move_by_centroids(film[:, :2])[0, 1:, 2:], film[0, 2, 1:, 2:]
    )
    # Most of the world's own films are these, as long as few of its steps have been drawn anew.
    draws = forecasts.world_places(np.random.default_rng(0), start, 4, 500)[0]
    same = np.all(draws == rest, axis=-1).mean(axis=0)
    assert np.all(same > 0.9 ** np.arange(1, 5) - 0.1) and np.all(np.diff(same) < 0)


def test_the_energy_score_is_that_of_two_normals():
    """E |X - y| - E |X - X'| / 2 is E |X - X'| / 2 where truth and draws have one law."""
    random = np.random.default_rng(0)
    truth, draws = random.standard_normal((4000, 1, 2)), random.standard_normal((4000, 2, 1, 2))
    found = study.forecasts.scores(draws, truth)
    distance = np.sqrt(np.pi)  # mean distance of two standard normal points of the plane
    assert found['error'][0] == pytest.approx(distance, abs=0.04)
    assert found['energy'][0] == pytest.approx(distance / 2, abs=0.04)
    assert forecasts.scores(0 * truth[:, None], truth)['energy'][0] > 1.2  # a point


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert len({row['seed'] for row in rows}) >= 3
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_a_small_model_predicts_better_than_pixels_alone(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)  # eight devices are for other tests
    run = genjax.train(study.config(400, 20_000, 24), tmp_path / 'run')
    found = study.bits(0, run, 1000)
    assert found['exact']['bits'] < found['model']['bits'] < found['independent']['bits']
    assert found['model']['bits'] < 0.5 * found['centroids']['bits']
    films, _ = study.films(0, run, 16, 3)
    assert np.mean(films['model']['energy']) < 0.5 * np.mean(films['centroids']['energy'])
