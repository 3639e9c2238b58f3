import numpy as np
import pytest
from sklearn.decomposition import PCA

from experiments.linear_gaussian.exact import best_linear, nll

pytestmark = pytest.mark.slow


def test_the_best_linear_model_is_probabilistic_pca():
    """At the noise that PCA finds the likelihoods are those of PCA."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 7)) + rng.standard_normal((500, 7))
    pca = PCA(3).fit(x)
    # PCA divides by N - 1, which the maximum of the likelihood does not.
    scale = np.sqrt(pca.noise_variance_ * 499 / 500)
    weight, bias = best_linear(x, 3, scale)
    assert nll(x, weight, bias, scale) == pytest.approx(-pca.score(x), abs=1e-4)
    worse = nll(x, weight * 1.01, bias, scale), nll(x, weight, bias + 0.01, scale)
    assert min(worse) > nll(x, weight, bias, scale)
