"""Novelty scores and their curves against closed forms, scipy and scikit-learn."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import mahalanobis as distance
from scipy.special import logsumexp
from scipy.stats import chi2, f, multivariate_normal, norm
from sklearn.metrics import roc_auc_score, roc_curve

from genjax.errors import UserError
from genjax.evaluation import (
    auroc,
    complexity,
    energy,
    fpr_at,
    likelihood_ratio,
    mahalanobis,
    typicality,
)

D = 20


def gaussians(scale, num=20_000):
    """Log-densities under N(0, I) of examples of it, and of N(0, scale² I)."""
    x = np.random.RandomState(0).standard_normal((2, num, D))
    own = multivariate_normal(np.zeros(D))
    return own.logpdf(x[0]), own.logpdf(scale * x[1])


@pytest.mark.parametrize('scale, published', [(0.7, 0.0595), (1.3, 0.8754)])
def test_auroc_of_two_gaussians_is_that_of_the_f_distribution(scale, published):
    # |x|² are chi-squared: P(s² χ² > χ'²) is the F distribution's at s².
    expected = f(D, D).cdf(scale**2)
    assert expected == pytest.approx(published, abs=1e-4)
    inside, outside = gaussians(scale)
    assert auroc(-inside, -outside) == pytest.approx(expected, abs=0.005)
    background = norm.logpdf(0) * D + np.zeros(20_000)  # tells nothing
    ratio = likelihood_ratio(inside, background), likelihood_ratio(outside, background)
    assert auroc(*ratio) == pytest.approx(auroc(-inside, -outside))


def test_typicality_finds_what_is_too_likely():
    inside, outside = gaussians(0.7)
    mean = -D / 2 * (1 + np.log(2 * np.pi))  # E log p
    scores = typicality(inside, mean), typicality(outside, mean)
    assert auroc(-inside, -outside) < 0.07
    # By quadrature: |χ² - D| of one, and of the other scaled by .49.
    q = (np.arange(4000) + 0.5) / 4000
    near, far = (np.abs(scale * chi2(D).ppf(q) - D) for scale in (1, 0.49))
    expected = np.mean(near[:, None] < far)
    assert auroc(*scores) == pytest.approx(expected, abs=0.005)
    assert expected == pytest.approx(0.86, abs=0.01)


@pytest.mark.parametrize('levels', [3, 10**6])
def test_curves_are_those_of_scikit_learn(levels):
    random = np.random.RandomState(0)
    inside = random.randint(levels, size=300)
    outside = random.randint(levels, size=200) + levels // 3
    truth = np.repeat([0, 1], [300, 200])
    scores = np.concatenate([inside, outside])
    assert auroc(inside, outside) == pytest.approx(roc_auc_score(truth, scores))
    for rate in (0.5, 0.95, 1):
        passes, kept, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
        assert fpr_at(inside, outside, rate) == pytest.approx(passes[kept >= rate - 1e-9].min())


def test_energy_is_minus_logsumexp():
    logits = 100 * np.random.RandomState(0).standard_normal((50, 7))
    np.testing.assert_allclose(energy(logits), -logsumexp(logits, axis=1))


def test_mahalanobis_is_that_of_scipy():
    random = np.random.RandomState(0)
    label = random.randint(3, size=500)
    train = random.standard_normal((500, 4)) @ random.standard_normal((4, 4)) + label[:, None]
    label[:20] = -1
    x = 3 * random.standard_normal((40, 4))
    means = [train[label == c].mean(0) for c in range(3)]
    within = np.concatenate([train[label == c] - means[c] for c in range(3)])
    inverse = np.linalg.inv(within.T @ within / 480)
    expected = [min(distance(row, mean, inverse) ** 2 for mean in means) for row in x]
    np.testing.assert_allclose(mahalanobis(x, train, label), expected)
    # A feature that is constant in training counts for nothing.
    dead = [np.pad(a, ((0, 0), (0, 1))) for a in (x, train)]
    dead[0][:, -1] = 5
    np.testing.assert_allclose(mahalanobis(*dead, label), expected)


@pytest.mark.parametrize('codec', ['png', 'jpeg2000'])
@pytest.mark.parametrize('channels', [1, 3])
def test_complexity_subtracts_a_lossless_code(codec, channels):
    random = np.random.RandomState(0)
    noise = random.randint(256, size=(2, 28, 28, channels)).astype(np.uint8)
    x = np.concatenate([noise, np.zeros_like(noise)])
    bits = -complexity(np.zeros(4), x, codec) / np.log(2)
    np.testing.assert_allclose(complexity(np.full(4, -9.0), x, codec), 9 - np.log(2) * bits)
    # Noise cannot be compressed, one colour can.
    assert (bits[:2] >= 28 * 28 * channels * 8).all() and (bits[2:] < 2100).all()
    file = io.BytesIO()
    Image.fromarray(noise[0].squeeze()).save(file, codec, optimize=True)
    assert bits[0] == pytest.approx(8 * file.tell())
    np.testing.assert_array_equal(Image.open(file), noise[0].squeeze())


def test_what_they_refuse():
    with pytest.raises(UserError, match=r'complexity needs images uint8 .* not float64 \[2, 3\]'):
        complexity(np.zeros(2), np.zeros((2, 3)))
    with pytest.raises(UserError, match="codec is one of png, jpeg2000, not 'flif'"):
        complexity(np.zeros(2), np.zeros((2, 3)), 'flif')
    with pytest.raises(UserError, match='1 of 2 novelty scores are NaN'):
        auroc(np.array([0, np.nan]), np.zeros(3))
    with pytest.raises(UserError, match='rate=95 must be above 0'):
        fpr_at(np.zeros(2), np.zeros(2), 95)
    with pytest.raises(UserError, match=r'needs labels: all are -1'):
        mahalanobis(np.zeros((1, 2)), np.zeros((3, 2)), np.full(3, -1))
