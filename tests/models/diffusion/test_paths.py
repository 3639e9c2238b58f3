import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from genjax.models.diffusion import (
    EDM,
    ELBO,
    VE,
    X0,
    CosineVP,
    DiscreteVP,
    Epsilon,
    Karras,
    LinearVP,
    LogitNormal,
    LogNormal,
    MinSNR,
    Rectified,
    ShiftedTimes,
    SubVP,
    TruncatedSNR,
    Uniform,
    UniformLogSNR,
    Unweighted,
    V,
    Velocity,
    ZeroTerminalSNR,
)

pytestmark = pytest.mark.slow

PATHS = (
    LinearVP(), DiscreteVP(), CosineVP(), SubVP(), VE(), Karras(), Rectified(t_min=1e-3),
    ZeroTerminalSNR(LinearVP()),
)  # fmt: skip
EVERY_PATH = pytest.mark.parametrize('path', PATHS, ids=lambda path: type(path).__name__)
PARAMETERISATIONS = (Epsilon(), X0(), V(), Velocity(), EDM())
EVERY_PARAMETERISATION = pytest.mark.parametrize(
    'parameterisation', PARAMETERISATIONS, ids=lambda p: type(p).__name__
)
T = jnp.linspace(0.05, 0.95, 19)


@EVERY_PATH
def test_a_path_begins_at_the_data_and_loses_them(path):
    zero = jnp.zeros(())
    assert path.alpha(zero) == 1 and path.sigma(zero) == 0
    assert jnp.all(jnp.diff(path.log_snr(jnp.linspace(path.t_min, path.t_max - 1e-3, 200))) < 0)


@EVERY_PATH
def test_the_time_of_a_log_snr(path):
    np.testing.assert_allclose(path.time(path.log_snr(T)), T, rtol=2e-5)


@EVERY_PATH
def test_rates_are_slopes(path):
    step = 2e-3 if not isinstance(path, DiscreteVP) else 1e-4
    t = T if not isinstance(path, DiscreteVP) else T + 5e-4  # between the corners
    for function, rate in zip((path.alpha, path.sigma), path.rates(t), strict=True):
        slope = (function(t + step) - function(t - step)) / (2 * step)
        np.testing.assert_allclose(rate, slope, rtol=5e-3, atol=2e-3)


def test_variance_preserving_paths_solve_their_equation():
    """α = exp(-½ ∫ β) and σ² = 1 - α² of dx = -½ β x dt + √β dw; sub-VP squares σ²."""
    for t in (0.1, 0.5, 1.0):
        integral, _ = scipy.integrate.quad(lambda u: 0.1 + u * 19.9, 0, t)
        alpha = np.exp(-0.5 * integral)
        at = jnp.float32(t)
        np.testing.assert_allclose(LinearVP().alpha(at), alpha, rtol=1e-5)
        np.testing.assert_allclose(LinearVP().sigma(at), np.sqrt(1 - alpha**2), rtol=1e-5)
        np.testing.assert_allclose(SubVP().sigma(at), 1 - alpha**2, rtol=1e-5)
        np.testing.assert_allclose(
            VE().sigma(at), np.sqrt(0.01**2 * (5000 ** (2 * t) - 1)), rtol=1e-5
        )


def test_the_discrete_chain_is_a_product_of_steps():
    betas = np.linspace(1e-4, 0.02, 1000)
    path = DiscreteVP()
    for i in (0, 9, 499, 999):
        alpha = np.sqrt(np.prod(1 - betas[: i + 1]))
        np.testing.assert_allclose(path.alpha(jnp.float32((i + 1) / 1000)), alpha, rtol=1e-5)


def test_the_signal_of_a_rescaled_chain_ends_at_zero():
    """Algorithm 1 of Lin et al. (2024) on the 1,000 steps of DDPM, and the first value, 1."""
    path = ZeroTerminalSNR(DiscreteVP())
    roots = np.append(1.0, np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))))
    first, last = roots[0], roots[-1]
    want = (roots - last) * first / (first - last)
    at = jnp.linspace(0.0, 1.0, 1001)
    np.testing.assert_allclose(path.alpha(at), want, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(path.sigma(at), np.sqrt(1 - want**2), rtol=2e-4)
    end = jnp.float32(1.0)
    assert path.alpha(end) == 0 and path.sigma(end) == 1
    assert np.all(np.isfinite(path.rates(end)))
    noise = jax.random.normal(jax.random.key(0), (4, 2))
    prediction = V().prediction(path, noise, end, -0.5 * jnp.ones_like(noise))
    np.testing.assert_allclose(prediction.data, 0.5, atol=1e-6)


def test_shifted_times_are_those_of_a_shifted_logit():
    got = ShiftedTimes(LogitNormal(), 3.0).quantile(Rectified(), jnp.array([0.1, 0.5, 0.8]))
    want = LogitNormal(np.log(3.0)).quantile(Rectified(), jnp.array([0.1, 0.5, 0.8]))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@EVERY_PATH
@EVERY_PARAMETERISATION
def test_a_true_target_gives_data_and_noise_back(path, parameterisation):
    random = np.random.RandomState(0)
    x, noise = random.standard_normal((2, len(T), 3)).astype(np.float32)
    t = T[:, None]
    noisy = path.alpha(t) * x + path.sigma(t) * noise
    a, b = parameterisation.target(path, t)
    prediction = parameterisation.prediction(path, noisy, t, a * x + b * noise)
    ratio = jnp.maximum(path.sigma(t) / path.alpha(t), 1.0)
    np.testing.assert_allclose((prediction.data - x) / ratio, 0.0, atol=2e-5)
    ratio = jnp.maximum(path.alpha(t) / path.sigma(t), 1.0)
    np.testing.assert_allclose((prediction.noise - noise) / ratio, 0.0, atol=2e-5)


def test_edm_is_table_1_of_the_paper():
    """D(x; σ) = c_skip x + c_out F(c_in x; c_noise), the loss λ |D - y|² with λ c_out² = 1."""
    path, edm, s = Karras(), EDM(data_scale=0.7), 0.7
    sigma = jnp.array([[0.01], [0.5], [30.0]])
    t = sigma / 80.0
    x, output = jnp.array([[0.3], [-1.0], [20.0]]), jnp.array([[0.2], [0.7], [-1.1]])
    norm = jnp.sqrt(sigma**2 + s**2)
    want = s**2 / norm**2 * x + sigma * s / norm * output
    np.testing.assert_allclose(edm.prediction(path, x, t, output).data, want, rtol=1e-4)
    np.testing.assert_allclose(edm.input_scale(path, t), 1 / norm, rtol=1e-5)
    np.testing.assert_allclose(edm.network_time(path, t), jnp.log(sigma) / 4, rtol=1e-5)
    y, noise = 0.4, (x - 0.4) / sigma
    a, b = edm.target(path, t)
    want = (y - s**2 / norm**2 * x) / (sigma * s / norm)
    np.testing.assert_allclose(a * y + b * noise, want, rtol=1e-4)


TIMES = (Uniform(), UniformLogSNR(), LogNormal(), LogitNormal(0.3, 0.8), ShiftedTimes(shift=2.5))


@pytest.mark.parametrize('times', TIMES, ids=lambda times: type(times).__name__)
@pytest.mark.parametrize('path', (CosineVP(), Rectified(t_min=1e-3)), ids=('cosine', 'rectified'))
def test_the_density_of_times_is_the_slope_of_their_quantiles(path, times):
    if isinstance(times, UniformLogSNR) and isinstance(path, Rectified):
        path = Rectified(t_min=1e-3, t_max=0.999)
    shares = np.array([0.2, 0.5, 0.8])
    ends = np.asarray(times.quantile(path, jnp.asarray(shares)))

    def density(t):
        return float(times.density(path, jnp.float32(t)))

    for low, high in itertools.pairwise(ends):
        assert scipy.integrate.quad(density, low, high)[0] == pytest.approx(0.3, rel=1e-3)


def test_times_are_spread_over_the_batch():
    t = np.sort(Uniform().draw(Rectified(), jax.random.key(0), 100))
    np.testing.assert_allclose(np.diff(t), 0.01, atol=1e-5)


@EVERY_PARAMETERISATION
def test_the_elbo_weight_is_that_of_the_denoised_data(parameterisation):
    """½ |SNR'| |x - x̂|² (Kingma et al., 2021, eq. 18), whatever the network predicts."""
    path, times = CosineVP(), LogitNormal()
    t = T[:, None]
    x, error = jnp.float32(0.3), jnp.float32(0.01)
    noisy = path.alpha(t) * x + path.sigma(t) * 0.8
    a, b = parameterisation.target(path, t)
    output = a * x + b * 0.8 + error
    weight = ELBO()(path, parameterisation, times, t) * times.density(path, t)
    denoised = parameterisation.prediction(path, noisy, t, output).data
    snr = np.tan(0.5 * np.pi * np.asarray(t, np.float64)) ** -2
    slope = np.pi * snr * (np.tan(0.5 * np.pi * t) + 1 / np.tan(0.5 * np.pi * t))
    np.testing.assert_allclose(weight * error**2, 0.5 * slope * (x - denoised) ** 2, rtol=5e-3)


def test_weights_of_the_noise():
    path, t, times = LinearVP(), T[:, None], Uniform()
    snr = np.exp(path.log_snr(t))
    np.testing.assert_allclose(
        MinSNR(5.0)(path, Epsilon(), times, t), np.minimum(snr, 5) / snr, rtol=1e-5
    )
    # In v, an error of the noise is one of v times α (Hang et al., 2023: min(SNR, γ) / (SNR + 1)).
    np.testing.assert_allclose(
        MinSNR(5.0)(path, V(), times, t), np.minimum(snr, 5) / (snr + 1), rtol=1e-4
    )
    # The error in x is that in ε times σ / α.
    np.testing.assert_allclose(
        TruncatedSNR(1.0, 5.0)(path, Epsilon(), times, t), np.clip(snr, 1, 5) / snr, rtol=1e-4
    )
    np.testing.assert_allclose(
        TruncatedSNR(1.0, 5.0)(path, X0(), times, t), np.clip(snr, 1, 5), rtol=1e-5
    )
    np.testing.assert_array_equal(Unweighted()(path, V(), times, t), np.ones_like(t))
