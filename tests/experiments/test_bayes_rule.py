"""The study of Bayes' rule: its results from scores that are known, its page, and 8x8 digits."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import genjax
from experiments.bayes_rule import run as study
from genjax.evaluation import risk_at

pytestmark = pytest.mark.slow


def parts(num=20_000):
    """Scores log p(x | class) of ten classes, x normal about 3 on the axis of its class; intruders
    are noise of three times the size about the origin.
    """
    random = np.random.default_rng(0)
    label = np.arange(num) % 10
    x = 3 * np.eye(10)[label] + random.standard_normal((num, 10))
    intruders = 3 * random.standard_normal((2000, 10))

    def logits(x):
        return norm.logpdf(x[:, None], 3 * np.eye(10)).sum(axis=-1)

    return {
        'test_logits': logits(x), 'test_label': label, 'held_out_logits': logits(x[:1000]),
        'intruders_logits': logits(intruders), 'seconds': np.zeros(2),
    }  # fmt: skip


def test_results_of_known_densities():
    given = parts()
    found = study.results_of(given, generative=True)
    t = np.linspace(-10, 14, 100_001)
    # The largest of ten coordinates is that of the class.
    right = np.trapezoid(norm.pdf(t - 3) * norm.cdf(t) ** 9, t)
    assert found['temperature_1']['accuracy'] == pytest.approx(right, abs=0.01)
    assert found['temperature_1']['ece'] < 0.01 < found['temperature_5']['ece']
    assert found['rejecting']['risk_80'] < found['rejecting']['risk_100'] / 3
    # A hundredth of the test images is strange by construction, and most intruders.
    assert found['strange']['test'] == pytest.approx(0.01, abs=0.008)
    assert found['strange']['intruders'] > 0.8
    assert found['evidence']['risk_80'] < found['posterior']['risk_80']
    assert found['moved']['adapted'] < found['moved']['even']
    assert found['moved']['adapted'] == pytest.approx(found['moved']['true'], abs=0.01)
    assert found['moved']['zeros'] == pytest.approx(0.8, abs=0.03)


def test_the_doubt_orders_what_rounds_to_certainty():
    logits = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, -1.0]])
    np.testing.assert_allclose(study.doubt(logits), [-50, -60, -np.log1p(np.exp(1))], rtol=1e-9)
    assert risk_at(-study.doubt(logits), np.array([True, False, False]), 0.3) == 0


def test_the_tables_of_the_page_are_those_of_the_results():
    rows = json.loads(study.RESULTS.read_text())
    assert len({row['seed'] for row in rows}) >= 3
    assert study.report(rows) in Path(study.__file__).with_name('README.md').read_text()


@pytest.mark.full
def test_densities_of_digits_classify_and_reject(tmp_path):
    run = genjax.train(study.vae(1500, 'digits', 200), tmp_path / 'run')
    test = run.experiment.dataset.source('test')
    rows = test[np.arange(len(test))]
    logits = study.logits_of(run, rows['x'])
    wrong = np.argmax(logits, axis=1) != rows['label']
    assert wrong.mean() < 0.1
    assert risk_at(-study.doubt(logits), wrong, 0.9) < 0.6 * wrong.mean()
