"""Edits, inversion and completion against Gaussian data, where all have closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.diffusion import (
    X0,
    Ancestral,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    Heun,
    KarrasSchedule,
    Multistep,
    Rectified,
    V,
)
from genjax.networks import TimeMLP
from tests.models.diffusion.exact import VARIABLES, exact_model
from tests.models.diffusion.gaussians import MEANS, SCALE

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
MEAN, COVARIANCE = np.array([0.5, -0.3]), np.array([[0.5, 0.3], [0.3, 0.4]])


class Linear(TimeMLP):
    """The network that predicts the expected x of N(MEAN, COVARIANCE) along a path."""

    path: object = None

    def __call__(self, x, time, condition=None, train=False):
        alpha, sigma = (f(time)[:, None, None] for f in (self.path.alpha, self.path.sigma))
        total = alpha**2 * COVARIANCE + sigma**2 * jnp.eye(2)
        away = jnp.linalg.solve(total, (x - alpha[:, 0] * MEAN)[..., None])
        return MEAN + (alpha * COVARIANCE @ away)[..., 0]


def gaussian(path, sampler, steps):
    sampling = DiffusionSampling(sampler, KarrasSchedule(), steps)
    return DiffusionModel(Linear((2,), 1, path=path), path, X0(), sampling=sampling)


PATHS = pytest.mark.parametrize('path', [CosineVP(), Rectified(1e-3, 0.999)], ids=['vp', 'flow'])


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


@PATHS
def test_noise_of_data_and_back(path):
    model = gaussian(path, Ancestral(), 60)
    x = MEAN + jax.random.normal(KEY, (64, 2)) @ root(COVARIANCE)
    noise = model.invert(VARIABLES, x, sampler=Heun())
    # The flow is linear: it takes N(m, C) to the normal at t_max.
    alpha, sigma = (float(f(jnp.float32(path.t_max))) for f in (path.alpha, path.sigma))
    spread = root(alpha**2 * COVARIANCE + sigma**2 * np.eye(2)) @ np.linalg.inv(root(COVARIANCE))
    want = (alpha * MEAN + (x - MEAN) @ spread.T) / sigma
    np.testing.assert_allclose(noise, want, atol=0.02)
    back = model.generate(VARIABLES, noise, sampler=Heun())
    np.testing.assert_allclose(back, x, atol=0.02)


@pytest.mark.full
def test_the_round_trip_of_a_mixture_gets_better_with_steps():
    x = jnp.array([[1.0, 0.7], [-1.2, 0.1], [0.0, -1.0]])
    errors = []
    for steps in (20, 80):
        sampling = DiffusionSampling(grid=KarrasSchedule(), steps=steps)
        model = exact_model(CosineVP(), X0(), sampling=sampling)
        for sampler in (None, Multistep(3)):
            options = {} if sampler is None else {'sampler': sampler}
            noise = model.invert(VARIABLES, x, **options)
            back = model.generate(VARIABLES, noise, **options)
            errors.append(float(jnp.max(jnp.abs(back - x))))
    ddim, multistep, finer, finest = errors
    assert finer < ddim / 2 and multistep < ddim and finest < 0.01


@PATHS
def test_an_edit_has_its_law(path):
    """x_t given x is normal, and from there the flow is linear."""
    strength, num = 0.6, 20_000
    x = jnp.array([1.0, 0.4])
    model = gaussian(path, Heun(), 40)
    got = model.edit(VARIABLES, KEY, jnp.tile(x, (num, 1)), strength)
    t = jnp.float32(strength * path.t_max)
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    pull = root(COVARIANCE) @ np.linalg.inv(root(alpha**2 * COVARIANCE + sigma**2 * np.eye(2)))
    want = MEAN + alpha * pull @ (np.asarray(x) - MEAN)
    np.testing.assert_allclose(np.mean(got, axis=0), want, atol=0.02)
    np.testing.assert_allclose(np.cov(got.T), sigma**2 * pull @ pull.T, atol=0.02)
    with pytest.raises(UserError, match='strength must be'):
        model.edit(VARIABLES, KEY, x[None], 0.0)


@pytest.mark.full
def test_completion_by_repetition():
    """The second coordinate given the first, in closed form; a single pass ignores much of it."""
    num, known = 10_000, 1.2
    model = gaussian(CosineVP(), Ancestral(), 60)
    mask, data = jnp.array([True, False]), jnp.full((num, 2), known)
    slope = COVARIANCE[0, 1] / COVARIANCE[0, 0]
    want = MEAN[1] + slope * (known - MEAN[0])
    spread = np.sqrt(COVARIANCE[1, 1] - slope * COVARIANCE[0, 1])
    off = []
    for repeats in (1, 10):
        x = model.repaint(VARIABLES, KEY, data, mask, repeats=repeats)
        np.testing.assert_allclose(x[:, 0], known, atol=1e-5)
        off.append(abs(float(jnp.mean(x[:, 1])) - want))
    assert off[1] < 0.05 < off[0]
    assert float(jnp.std(x[:, 1])) == pytest.approx(spread, rel=0.15)  # a little too narrow
    other = gaussian(CosineVP(), Multistep(3), 60)
    with pytest.raises(UserError, match=r'repaint\(\) needs a sampler of single steps'):
        other.repaint(VARIABLES, KEY, data, mask)


def test_what_is_known_stays_and_the_rest_goes_with_it():
    """Given the first coordinate, the second is drawn near the part that has it."""
    model = exact_model(CosineVP(), V())
    known = jnp.tile(jnp.array([[1.0, 0.0], [-1.0, 0.0]]), (500, 1))
    mask = jnp.array([True, False])
    x = jax.jit(lambda: model.inpaint(VARIABLES, KEY, known, mask, data_scale=SCALE))()
    np.testing.assert_array_equal(x[:, 0], known[:, 0])
    # Exactly, the second coordinate at 1 is of the part at .5 mostly, at -1 of that at 0.
    right, left = x[::2, 1], x[1::2, 1]
    weights = np.exp(-0.5 * (np.array([1.0, -1.0])[:, None] - MEANS[:, 0]) ** 2 / 0.16)
    want = weights @ MEANS[:, 1] / weights.sum(axis=1)
    assert float(jnp.mean(right)) == pytest.approx(want[0], abs=0.12)
    assert float(jnp.mean(left)) == pytest.approx(want[1], abs=0.12)
