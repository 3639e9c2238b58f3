import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models.diffusion import VE, CosineVP, Karras, LinearVP, Rectified, SubVP
from genjax.models.diffusion.likelihood import ode_log_prob, vlb, vlb_ends, vlb_rate
from tests.models.diffusion.gaussians import MEANS, draw, log_prob
from tests.models.diffusion.gaussians import denoiser as mixture_denoiser
from tests.tiers import few, full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
X = jnp.asarray(draw(np.random.RandomState(0), 12))
PATHS = (
    # Further than by default: where data are left at the end, noise is not their distribution.
    LinearVP(beta_max=40.0, t_min=1e-4),
    CosineVP(t_max=0.9999),
    SubVP(beta_max=40.0, t_min=0.01),
    VE(sigma_max=2000.0),
    Karras(sigma_max=2000.0, t_min=1e-6),
    Rectified(t_min=1e-3),
)
EVERY_PATH = pytest.mark.parametrize('path', PATHS, ids=lambda path: type(path).__name__)


@pytest.mark.parametrize(
    'path', few({type(path).__name__: path for path in PATHS}, ['LinearVP', 'Karras', 'Rectified'])
)
def test_the_ode_has_the_likelihood_of_the_mixture(path):
    got = jax.jit(lambda x: ode_log_prob(mixture_denoiser(path), path, x, KEY, 'exact', 1e-6))(X)
    np.testing.assert_allclose(got, log_prob(X), atol=1e-3)


def test_hutchinsons_estimate_has_the_right_mean():
    path = Rectified(t_min=1e-3)
    x = jnp.repeat(X[:1], 2000, axis=0)
    got = jax.jit(lambda x: ode_log_prob(mixture_denoiser(path), path, x, KEY, 'hutchinson', 1e-4))(
        x
    )
    error = float(jnp.std(got)) / 2000**0.5
    assert error > 0
    assert abs(float(jnp.mean(got) - log_prob(X)[0])) < 4 * error + 1e-3


@pytest.mark.parametrize(
    'path',
    [
        CosineVP(t_min=1e-3, t_max=0.999),
        Rectified(t_min=1e-3, t_max=0.999),
        full(LinearVP(t_min=1e-4)),
    ],
    ids=lambda path: type(path).__name__,
)
def test_the_bound_is_tight_for_the_exact_denoiser(path):
    """-log p by quadrature over noise (Gauss-Hermite) and log-SNR (midpoints)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    noise = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2).astype(np.float32)
    weights = np.outer(weights, weights).ravel()
    low, high = path.log_snr(jnp.array([path.t_max, path.t_min]))
    times = path.time(low + (jnp.arange(2000) + 0.5) / 2000 * (high - low))

    @jax.jit
    def negative_bound(x):
        points = jnp.broadcast_to(x, noise.shape)

        def rate(t):
            at = jnp.full(len(noise), t)
            return weights @ vlb_rate(mixture_denoiser(path), path, points, at, noise)

        rates = jax.lax.map(rate, times, batch_size=100)
        return vlb_ends(path, x[None])[0] + (high - low) * jnp.mean(rates)

    for x in X[:3]:
        assert -float(negative_bound(x)) == pytest.approx(float(log_prob(x[None])[0]), abs=1e-3)


def test_the_drawn_bound_has_that_mean():
    path = CosineVP()
    x = jnp.repeat(X[:1], 500, axis=0)
    got = jax.jit(lambda x: vlb(mixture_denoiser(path), path, x, KEY, 64))(x)
    error = float(jnp.std(got)) / 500**0.5
    assert abs(float(jnp.mean(got) - log_prob(X)[0])) < 4 * error
    assert len(MEANS) == 3
