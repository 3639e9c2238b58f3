"""Learned variances against Gaussian data, whose reverse process is Gaussian and known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.diffusion import (
    X0,
    Ancestral,
    Autoguidance,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    Epsilon,
    LearnedVariance,
    PowerSchedule,
    Prediction,
    Rectified,
)
from genjax.models.diffusion.learned_variance import transition_kl
from genjax.models.diffusion.likelihood import vlb
from genjax.models.diffusion.samplers import posterior_variance, transition_variance
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
PATH = CosineVP(t_min=0.02, t_max=0.99)
MEAN, SCALE = 0.4, 0.7


def denoiser(width):
    """The exact one, with the variance of x_s given x_t for steps of this width."""

    def denoise(x, t):
        alpha, sigma, s = PATH.alpha(t), PATH.sigma(t), t - width
        variance = (alpha * SCALE) ** 2 + sigma**2
        data = MEAN + alpha * SCALE**2 / variance * (x - alpha * MEAN)
        pull = PATH.alpha(s) * transition_variance(PATH, t, s) / sigma**2
        lower, upper = posterior_variance(PATH, t, s), transition_variance(PATH, t, s)
        true = lower + (pull * SCALE * sigma) ** 2 / variance
        share = jnp.log(true / lower) / jnp.log(upper / lower)
        share = jnp.broadcast_to(share, x.shape)
        return Prediction(data, (x - alpha * data) / sigma, share)

    return denoise


def test_the_divergence_of_a_step_is_that_of_two_normals():
    x, noisy, t, s = (jnp.full((1, 1), a) for a in (0.3, -0.8, 0.6, 0.45))
    prediction = denoiser(0.15)(noisy, t)._replace(share=jnp.full((1, 1), 0.3))
    got = float(transition_kl(PATH, prediction, x, t, s)[0])
    alpha, sigma = (
        np.cos(np.pi * np.array([0.6, 0.45]) / 2),
        np.sin(np.pi * np.array([0.6, 0.45]) / 2),
    )
    beta = sigma[0] ** 2 - (alpha[0] / alpha[1] * sigma[1]) ** 2
    tilde = 1 / ((alpha[0] / alpha[1]) ** 2 / beta + 1 / sigma[1] ** 2)  # by Bayes' rule

    def mean(data):
        return tilde * (alpha[0] / alpha[1] / beta * -0.8 + alpha[1] / sigma[1] ** 2 * data)

    variance = beta**0.3 * tilde**0.7
    distance = (mean(0.3) - mean(float(prediction.data[0, 0]))) ** 2
    want = 0.5 * (np.log(variance / tilde) + (tilde + distance) / variance - 1)
    assert got == pytest.approx(want, rel=1e-4)


def mean_bound(denoise, num_steps, x):
    bound = jax.jit(lambda x: LearnedVariance(num_steps=num_steps).bound(denoise, PATH, x, KEY, 64))
    values = np.asarray(bound(x))
    return values.mean(), values.std() / len(values) ** 0.5


@pytest.fixture(scope='module')
def x():
    return MEAN + SCALE * jax.random.normal(jax.random.key(1), (20_000, 1))


def test_with_the_true_variance_few_steps_have_the_bound_of_infinitely_many(x):
    """The chain is then the true one, and its bound lacks the end terms only."""
    width = (PATH.t_max - PATH.t_min) / 4
    got, error = mean_bound(denoiser(width), 4, x)
    limit = np.asarray(jax.jit(lambda x: vlb(denoiser(width), PATH, x, KEY, 64))(x))
    error = 4 * float(np.hypot(error, limit.std() / len(limit) ** 0.5))
    assert got == pytest.approx(limit.mean(), abs=error)
    for share in (0.0, 1.0):
        worse, _ = mean_bound(
            lambda x, t, v=share: denoiser(width)(x, t)._replace(share=jnp.full_like(x, v)), 4, x
        )
        assert worse < got - 0.02  # of the same examples and noise


def test_many_steps_of_either_variance_have_the_bound_of_infinitely_many(x):
    def lower(x, t):
        return denoiser(1e-3)(x, t)._replace(share=jnp.zeros_like(x))

    got, error = mean_bound(lower, 2000, x)
    limit = np.asarray(jax.jit(lambda x: vlb(lower, PATH, x, KEY, 64))(x))
    assert got == pytest.approx(
        limit.mean(), abs=4 * float(np.hypot(error, limit.std() / 20_000**0.5))
    )


def test_samples_of_few_steps_with_the_true_variance_have_that_of_the_data():
    num, steps = 100_000, 5
    times = jnp.linspace(PATH.t_max, PATH.t_min, steps + 1)
    width = float(times[0] - times[1])
    alpha, sigma = PATH.alpha(times[0]), PATH.sigma(times[0])
    start = alpha * MEAN + jnp.hypot(alpha * SCALE, sigma) * jax.random.normal(KEY, (num, 1))
    got = Ancestral()(denoiser(width), PATH, times, start, jax.random.key(1))
    want = float(jnp.hypot(PATH.alpha(times[-1]) * SCALE, PATH.sigma(times[-1])))
    assert float(jnp.std(got)) == pytest.approx(want, rel=0.01)


def test_the_loss_is_that_of_the_paper():
    """L_simple + λ L_vlb, whose gradient does not reach the expected x."""
    learned = LearnedVariance(weight=0.1, num_steps=50)
    model = DiffusionModel(TimeMLP((2,), 8, 1), PATH, Epsilon(), variance=learned)
    x = jax.random.normal(KEY, (64, 2))
    variables = jax.tree.map(lambda a: a + 0.1, model.init(KEY, {'x': x}))
    loss = jax.jit(model.phases[0].loss)(variables, {'x': x}, KEY)
    noisy, t, noise = model.diffuse(jax.random.split(KEY, 3)[0], x, None)
    network = model.network.clone(shape=(4,))
    out = network.apply({'params': variables['params']['network']}, noisy, t[:, 0])
    np.testing.assert_allclose(
        loss.metrics['error'], np.mean((out[:, :2] - noise) ** 2, axis=1), 1e-4
    )
    s = t - (PATH.t_max - PATH.t_min) / 50
    inside = np.asarray(s >= PATH.t_min)[:, 0]
    prediction = (
        Epsilon().prediction(PATH, noisy, t, out[:, :2])._replace(share=(out[:, 2:] + 1) / 2)
    )
    kl = np.where(inside, transition_kl(PATH, prediction, x, t, s), 0)
    np.testing.assert_allclose(loss.metrics['bound'], 50 * kl / 2, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        loss.values, loss.metrics['error'] + 0.1 * loss.metrics['bound'], rtol=1e-5
    )

    def bound(params):
        return jnp.sum(
            model.phases[0].loss({**variables, 'params': params}, {'x': x}, KEY).metrics['bound']
        )

    slope = jax.grad(bound)(variables['params'])['network']['output']['bias']
    assert np.all(slope[:2] == 0) and np.all(slope[2:] != 0)


def test_a_model_with_variances_samples_and_has_a_bound():
    sampling = DiffusionSampling(Ancestral(), PowerSchedule(), 4)
    model = DiffusionModel(
        TimeMLP((2,), 8, 1), PATH, X0(), variance=LearnedVariance(num_steps=50),
        sampling=sampling, likelihood='vlb', eval_samples=8,
    )  # fmt: skip
    x = jax.random.normal(KEY, (4, 2))
    variables = model.init(KEY, {'x': x})
    assert model.sample(variables, KEY, 3).shape == (3, 2)
    found = model.log_prob(variables, x, KEY)
    assert found.kind == 'lower_bound' and model.log_prob_method == 'VLB of 8 times of 50'
    with pytest.raises(UserError, match='along its own path'):
        with_sampling(model, path=Rectified())


def test_a_weak_network_learns_variances_too():
    guide = Autoguidance(TimeMLP((2,), 4, 1))
    sampling = DiffusionSampling(Ancestral(), PowerSchedule(), 4, guide=guide)
    model = DiffusionModel(
        TimeMLP((2,), 8, 1), PATH, X0(), variance=LearnedVariance(num_steps=50), sampling=sampling
    )
    batch = {'x': jnp.zeros((4, 2))}
    variables = jax.eval_shape(model.init, KEY, batch)
    weak = jax.eval_shape(model.phases[1].loss, variables, batch, KEY)
    assert weak.metrics['bound'].shape == (4,)
    assert jax.eval_shape(lambda v: model.sample(v, KEY, 3), variables).shape == (3, 2)
