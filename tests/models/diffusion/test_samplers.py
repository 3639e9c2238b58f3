import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from configs.cifar10 import ddpm
from genjax.config import build
from genjax.errors import UserError
from genjax.models.diffusion import (
    DDIM,
    DPM2M,
    VE,
    Ancestral,
    Churn,
    CosineVP,
    DiscreteVP,
    Euler,
    EulerMaruyama,
    Heun,
    Karras,
    KarrasSchedule,
    LinearVP,
    LogSNRSchedule,
    Multistep,
    PowerSchedule,
    Prediction,
    Rectified,
    ShiftedSchedule,
)
from genjax.models.diffusion.samplers import along, posterior_variance
from tests.models.diffusion.gaussians import MEANS, SCALE, denoiser
from tests.tiers import few, full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
PATHS = {
    'vp': LinearVP(t_max=0.9),
    'cosine': CosineVP(t_max=0.9),
    've': VE(sigma_max=5.0),
    'rectified': Rectified(t_min=0.05, t_max=0.95),
}


def exact(path, x, start, end):
    """The probability-flow ODE of the mixture in double precision, by scipy."""

    def sizes(t):
        at = np.float64(t)
        if isinstance(path, CosineVP):
            alpha, sigma = np.cos(np.pi * at / 2), np.sin(np.pi * at / 2)
            return alpha, sigma, -np.pi / 2 * sigma, np.pi / 2 * alpha
        if isinstance(path, Rectified):
            return 1 - at, at, -1.0, 1.0
        if isinstance(path, VE):
            growth = (path.sigma_max / path.sigma_min) ** (2 * at)
            sigma = path.sigma_min * np.sqrt(growth - 1)
            log_ratio = np.log(path.sigma_max / path.sigma_min)
            return 1.0, sigma, 0.0, path.sigma_min**2 * log_ratio * growth / sigma
        beta = path.beta_min + at * (path.beta_max - path.beta_min)
        alpha = np.exp(-0.5 * (path.beta_min * at + (beta - path.beta_min) * at / 2))
        sigma = np.sqrt(1 - alpha**2)
        return alpha, sigma, -0.5 * beta * alpha, 0.5 * beta * alpha**2 / sigma

    def rate(t, flat):
        y = flat.reshape(-1, 2)
        alpha, sigma, alpha_rate, sigma_rate = sizes(t)
        variance = (alpha * SCALE) ** 2 + sigma**2
        away = y[:, None] - alpha * MEANS.astype(np.float64)
        logits = -0.5 * np.sum(away**2, axis=-1) / variance
        parts = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts /= parts.sum(axis=1, keepdims=True)
        data = np.sum(parts[..., None] * (MEANS + alpha * SCALE**2 / variance * away), axis=1)
        noise = (y - alpha * data) / sigma
        return (alpha_rate * data + sigma_rate * noise).ravel()

    solution = scipy.integrate.solve_ivp(
        rate, (start, end), np.asarray(x, np.float64).ravel(), rtol=1e-9, atol=1e-9
    )
    return solution.y[:, -1].reshape(-1, 2)


@pytest.mark.parametrize('name', few(list(PATHS), ['vp', 'rectified']))
@pytest.mark.parametrize(
    'sampler, order', [(Euler(), 1), (DDIM(), 1), (Heun(), 2), (DPM2M(), 2)], ids=str
)
def test_samplers_converge_at_their_order(name, sampler, order):
    path = PATHS[name]
    denoise = denoiser(path)
    start, end = path.t_max, max(path.t_min, 0.1)
    x = path.sigma(jnp.float32(start)) * jax.random.normal(KEY, (64, 2))
    x = x + path.alpha(jnp.float32(start)) * MEANS[jnp.arange(64) % 3]
    want = exact(path, x, start, end)
    run = jax.jit(lambda times: sampler(denoise, path, times, x, KEY))
    errors = []
    for num in (16, 32, 64):
        ends = path.log_snr(jnp.array([start, end]))
        times = path.time(jnp.linspace(*ends, num + 1))
        errors.append(float(np.sqrt(np.mean((run(times) - want) ** 2))))
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert abs(slopes[-1] - order) < 0.25, (errors, slopes)
    assert errors[-1] < (0.06 if order == 1 else 0.004)


@pytest.mark.parametrize(
    'sampler, order',
    [
        full(Multistep(1), 1),
        (Multistep(2), 2),
        (Multistep(3), 3),
        full(Multistep(1, corrector=True), 2),
        (Multistep(2, corrector=True), 3),
    ],
    ids=str,
)
def test_multistep_samplers_converge_at_their_order(sampler, order):
    """From where the expected x hardly moves, so that lower orders at the first steps are fine."""
    path, end = CosineVP(t_max=0.98), 0.3
    x = path.sigma(jnp.float32(path.t_max)) * jax.random.normal(KEY, (64, 2))
    want = exact(path, x, path.t_max, end)
    run = jax.jit(lambda times: sampler(denoiser(path), path, times, x, KEY))
    errors = []
    for num in (16, 32):
        times = path.time(jnp.linspace(*path.log_snr(jnp.array([path.t_max, end])), num + 1))
        errors.append(float(np.sqrt(np.mean((run(times) - want) ** 2))))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.3, errors


def one_gaussian(path, mean, scale):
    def denoise(x, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        pull = alpha * scale**2 / ((alpha * scale) ** 2 + sigma**2)
        data = mean + pull * (x - alpha * mean)
        return Prediction(data, (x - alpha * data) / sigma)

    return denoise


STOCHASTIC = {
    'ancestral': (Ancestral(), 1.0),
    'ddim-1': (DDIM(eta=1.0), 1.0),
    'ddim-half': (DDIM(eta=0.5), 0.25),
    'multistep': (Multistep(1, noise=1.0), 1.0),  # with the noise of `Ancestral`
}


@pytest.mark.parametrize('name', few(list(STOCHASTIC), ['ancestral', 'ddim-half']))
def test_the_noise_of_stochastic_samplers(name):
    """With a linear denoiser every x is normal, with mean and variance by recursion."""
    sampler, share = STOCHASTIC[name]
    path, mean, scale = LinearVP(), 0.7, 0.3
    times = PowerSchedule()(path, 10)
    num = 200_000
    got = sampler(one_gaussian(path, mean, scale), path, times, jax.random.normal(KEY, (num,)), KEY)
    m, v = 0.0, 1.0
    for t, s in itertools.pairwise(times):
        alpha_t, sigma_t = float(path.alpha(t)), float(path.sigma(t))
        alpha_s, sigma_s = float(path.alpha(s)), float(path.sigma(s))
        fresh = share * (sigma_t**2 - (alpha_t * sigma_s / alpha_s) ** 2) * (sigma_s / sigma_t) ** 2
        pull = alpha_t * scale**2 / ((alpha_t * scale) ** 2 + sigma_t**2)
        # data = mean + pull (x - alpha mean), noise = (x - alpha data) / sigma, both linear in x
        data_slope, data_shift = pull, mean * (1 - pull * alpha_t)
        noise_slope, noise_shift = (1 - alpha_t * pull) / sigma_t, -alpha_t * data_shift / sigma_t
        old = np.sqrt(max(sigma_s**2 - fresh, 0))
        slope = alpha_s * data_slope + old * noise_slope
        m = slope * m + alpha_s * data_shift + old * noise_shift
        v = slope**2 * v + fresh
    assert float(jnp.mean(got)) == pytest.approx(m, abs=4 * np.sqrt(v / num))
    assert float(jnp.var(got)) == pytest.approx(v, rel=4 * np.sqrt(2 / num))


def test_the_posterior_is_that_of_bayes():
    """x_s given x_t and x by multiplying the two normals."""
    path = CosineVP()
    t, s = jnp.float32(0.7), jnp.float32(0.4)
    ratio = path.alpha(t) / path.alpha(s)
    step = path.sigma(t) ** 2 - ratio**2 * path.sigma(s) ** 2
    want = 1 / (1 / path.sigma(s) ** 2 + ratio**2 / step)
    np.testing.assert_allclose(posterior_variance(path, t, s), want, rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize('upper', [False, True])
def test_ancestral_samples_of_many_steps_have_the_variance_of_the_data(upper):
    path, mean, scale = LinearVP(), 0.7, 0.3
    got = Ancestral(upper)(
        one_gaussian(path, mean, scale),
        path,
        PowerSchedule()(path, 1000),
        jax.random.normal(KEY, (40_000,)),
        KEY,
    )
    assert float(jnp.mean(got)) == pytest.approx(mean, abs=0.01)
    assert float(jnp.std(got)) == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize('path', [full(LinearVP()), Rectified(), Karras(20.0, 1e-4)], ids=str)
@pytest.mark.parametrize(
    'sampler, steps', [full(Multistep(2, noise=1.0), 40), (Multistep(3, noise=0.5), 40)], ids=str
)
def test_few_steps_of_the_reverse_sde_have_the_law_of_the_data(path, sampler, steps):
    mean, scale, num = 0.7, 0.3, 40_000
    log_snr = jnp.linspace(-5.5, 8.0, steps)
    times = jnp.concatenate([jnp.float32(path.t_max)[None], path.time(log_snr), jnp.zeros(1)])
    start = path.sigma(times[0]) * jax.random.normal(KEY, (num,))
    got = sampler(one_gaussian(path, mean, scale), path, times, start, jax.random.key(1))
    assert float(jnp.mean(got)) == pytest.approx(mean, abs=0.01)
    assert float(jnp.std(got)) == pytest.approx(scale, rel=0.02)
    rough = Ancestral()(one_gaussian(path, mean, scale), path, times, start, jax.random.key(1))
    assert abs(float(jnp.std(rough)) - scale) > 2 * abs(float(jnp.std(got)) - scale)


def test_euler_maruyama_by_recursion():
    """Of a linear denoiser along a variance-preserving path: dx = -½ β x dt - β score dt + √β dw
    backwards, mean and variance in double precision; and without noise it is Euler.
    """
    path, mean, scale, num = LinearVP(), 0.7, 0.3, 200_000
    denoise = one_gaussian(path, mean, scale)
    times = PowerSchedule()(path, 20)[:-1]
    x = jax.random.normal(KEY, (num,))
    got = EulerMaruyama()(denoise, path, times, x, jax.random.key(1))
    m, v = 0.0, 1.0
    for t, s in itertools.pairwise(np.asarray(times, np.float64)):
        beta = 0.1 + t * 19.9
        alpha = np.exp(-0.25 * t**2 * 19.9 - 0.05 * t)
        total = (alpha * scale) ** 2 + 1 - alpha**2  # the score is (alpha mean - x) / total
        slope = 1 + (t - s) * beta * (0.5 - 1 / total)
        m = slope * m + (t - s) * beta * alpha * mean / total
        v = slope**2 * v + (t - s) * beta
    assert float(jnp.mean(got)) == pytest.approx(m, abs=4 * np.sqrt(v / num) + 1e-4)
    assert float(jnp.var(got)) == pytest.approx(v, rel=4 * np.sqrt(2 / num) + 1e-3)
    plain = [sampler(denoise, path, times, x, KEY) for sampler in (Euler(), EulerMaruyama(0.0))]
    np.testing.assert_allclose(*plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('shift', [1.0, 3.0])
def test_a_shifted_grid(shift):
    t = np.linspace(1, 0, 9)
    got = ShiftedSchedule(shift=shift)(Rectified(), 8)
    np.testing.assert_allclose(got, shift * t / (1 + (shift - 1) * t), atol=1e-6)
    path = CosineVP()
    got, plain = ShiftedSchedule(shift=shift)(path, 8), PowerSchedule()(path, 8)
    assert got[0] == plain[0] == jnp.float32(0.999) and got[-1] == 0
    ratio, before = (np.tan(0.5 * np.pi * np.asarray(t[3:-1])) for t in (got, plain))
    np.testing.assert_allclose(ratio / before, shift, rtol=1e-4)


def test_churn_keeps_the_distribution():
    path, mean, scale = Karras(sigma_max=20.0, t_min=1e-4), 0.7, 0.3
    times = KarrasSchedule()(path, 60)
    start = 20.0 * jax.random.normal(KEY, (40_000,))
    sampler = Churn(Heun(), growth=0.2)
    got = sampler(one_gaussian(path, mean, scale), path, times, start, jax.random.key(1))
    assert float(jnp.mean(got)) == pytest.approx(mean, abs=0.01)
    assert float(jnp.std(got)) == pytest.approx(scale, rel=0.02)
    same = Churn(Heun(), growth=0.0)(one_gaussian(path, mean, scale), path, times, start, KEY)
    plain = Heun()(one_gaussian(path, mean, scale), path, times, start, KEY)
    np.testing.assert_allclose(same, plain, atol=1e-4)


def test_the_config_of_ddpm_has_the_variance_of_the_figure_it_quotes():
    """FID 3.17 is of σ² = β in table 1 of Ho et al. (2020): of x_t given x_s."""
    sampling = build(ddpm.get_config()).model.sampling
    assert sampling.sampler == Ancestral(upper_variance=True)
    assert (sampling.steps, sampling.bounds) == (1000, (-1.0, 1.0))


@pytest.mark.parametrize(
    'path', [full(DiscreteVP()), LinearVP(), full(CosineVP()), Karras()], ids=str
)
@pytest.mark.parametrize('share', [1.0, 0.99])
def test_churn_adds_no_noise_beyond_that_of_the_path(path, share):
    """At t_max nothing, just below it no more than is missing: the network has seen no more."""
    t, seen = jnp.float32(share * path.t_max), []

    def denoise(x, t):
        seen.append((x, t))
        return Prediction(jnp.zeros_like(x), x / path.sigma(t))

    x = path.sigma(t) * jax.random.normal(KEY, (20_000,))
    churn = Churn(DDIM(), growth=0.4)
    churn.step(denoise, path, x, t, jnp.float32(0.5), jax.random.key(1))
    ((x, time),) = seen
    compiled = jax.jit(lambda t: churn.step(denoise, path, x, t, 0.5 * t, KEY))
    assert jnp.all(jnp.isfinite(compiled(t)))
    assert share * path.t_max - 1e-6 <= float(time) <= path.t_max + 1e-6
    # Of data that are 0 there is only the noise, whose scale the network is told by the time.
    assert float(jnp.std(x) / path.sigma(time)) == pytest.approx(1.0, abs=0.03)


def test_churn_where_there_is_nothing_but_noise():
    path = Rectified()
    x = jax.random.normal(KEY, (500, 2))
    got = Churn()(denoiser(path), path, PowerSchedule()(path, 50), x, KEY)
    distance = jnp.min(jnp.sum((got[:, None] - MEANS) ** 2, axis=-1), axis=-1)
    assert float(jnp.mean(distance)) == pytest.approx(2 * SCALE**2, rel=0.25)


@pytest.mark.parametrize('trained', [LinearVP(), CosineVP(), VE(), Karras()], ids=str)
def test_a_path_that_begins_where_the_other_one_does_not(trained):
    moved = along(denoiser(trained), trained, Rectified())
    for t in (1.0, 1e-6):
        got = moved(jax.random.normal(KEY, (8, 2)), jnp.float32(t))
        assert jnp.all(jnp.isfinite(jnp.stack([got.data, got.noise])))
    x = jax.random.normal(KEY, (500, 2))
    got = Heun()(moved, Rectified(), PowerSchedule()(Rectified(), 50), x, KEY)
    distance = jnp.min(jnp.sum((got[:, None] - MEANS) ** 2, axis=-1), axis=-1)
    assert float(jnp.mean(distance)) == pytest.approx(2 * SCALE**2, rel=0.3)


def test_a_denoiser_along_another_path():
    """That of the mixture, moved from one path to another, is the one of the other path."""
    x = jax.random.normal(KEY, (16, 2))
    moved = along(denoiser(LinearVP()), LinearVP(), Rectified())
    for t in (0.2, 0.7):
        got, want = moved(x, jnp.float32(t)), denoiser(Rectified())(x, jnp.float32(t))
        np.testing.assert_allclose(got.data, want.data, atol=1e-4)
        np.testing.assert_allclose(got.noise, want.noise, atol=1e-4)


def test_grids():
    path = Karras()
    rho, num = 7.0, 18
    i = np.arange(num)
    sigma = (80 ** (1 / rho) + i / (num - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
    np.testing.assert_allclose(80 * KarrasSchedule(rho)(path, num), [*sigma, 0.0], rtol=1e-4)
    np.testing.assert_allclose(PowerSchedule()(Rectified(), 4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(PowerSchedule(2.0)(Rectified(), 2), [1, 0.25, 0])
    widths = np.diff(CosineVP().log_snr(LogSNRSchedule()(CosineVP(), 10)[:-1]))
    np.testing.assert_allclose(widths, widths[0], rtol=1e-3)
    with pytest.raises(UserError, match='t_min'):
        LogSNRSchedule()(Rectified(), 10)


@pytest.mark.parametrize(
    'sampler',
    [
        Euler(),
        full(Heun()),
        full(DDIM()),
        DPM2M(),
        Ancestral(),
        full(EulerMaruyama()),
        Multistep(3),
        full(Multistep(2, True, 1.0)),
    ],
    ids=str,
)
def test_the_last_time_may_be_that_of_the_data(sampler):
    path = Rectified()
    denoise = denoiser(path)
    x = jax.random.normal(KEY, (500, 2))
    got = jax.jit(lambda: sampler(denoise, path, PowerSchedule()(path, 100), x, KEY))()
    assert jnp.all(jnp.isfinite(got))
    distance = jnp.min(jnp.sum((got[:, None] - MEANS) ** 2, axis=-1), axis=-1)
    assert float(jnp.mean(distance)) == pytest.approx(2 * SCALE**2, rel=0.25)
