"""The model's loss, likelihood and parts, against the mixture whose denoisers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.errors import UserError
from genjax.models.diffusion import (
    DDIM,
    EDM,
    ELBO,
    X0,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    Epsilon,
    Karras,
    KarrasSchedule,
    LinearVP,
    Rectified,
    Uniform,
    UniformLogSNR,
    V,
    Velocity,
)
from genjax.models.diffusion.likelihood import vlb_ends
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP, TimeUncertainty
from tests.models.diffusion.exact import VARIABLES, exact_model
from tests.models.diffusion.gaussians import denoiser, draw, log_prob
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
X = jnp.asarray(draw(np.random.RandomState(0), 64))


@pytest.mark.parametrize(
    'parameterisation', [Epsilon(), X0(), V(), Velocity(), EDM()], ids=lambda p: type(p).__name__
)
def test_every_parameterisation_draws_the_same_samples(parameterisation):
    path = CosineVP(t_max=0.99)
    sampling = DiffusionSampling(steps=20)
    model = exact_model(path, parameterisation, sampling=sampling)
    want = exact_model(path, Epsilon(), sampling=sampling).sample(VARIABLES, KEY, 16)
    np.testing.assert_allclose(model.sample(VARIABLES, KEY, 16), want, atol=2e-3)


@pytest.mark.parametrize('parameterisation', [full(Epsilon()), V(), EDM()], ids=str)
@pytest.mark.parametrize('times', [Uniform(), UniformLogSNR()], ids=str)
def test_the_elbo_loss_is_the_bound_whatever_is_predicted_and_drawn(parameterisation, times):
    """In nats a dimension and without the ends, for any distribution of times."""
    path = CosineVP(t_min=1e-2, t_max=0.99)
    model = exact_model(path, parameterisation, weighting=ELBO(), times=times)
    x = jnp.tile(X[:16], (1000, 1))
    loss = model.phases[0].loss(VARIABLES, {'x': x}, KEY).values.reshape(1000, 16)
    bound = dataclasses.replace(model, likelihood='vlb', eval_samples=64)
    x = jnp.tile(X[:16], (100, 1))
    want = bound.log_prob(VARIABLES, x, KEY).value.reshape(100, 16)
    want = (-want - vlb_ends(path, x).reshape(100, 16)) / 2
    error = 5 * float(jnp.std(loss)) / loss.size**0.5
    assert float(jnp.mean(loss) - jnp.mean(want)) == pytest.approx(0.0, abs=error)


@pytest.mark.parametrize(
    'model',
    [
        exact_model(Rectified(t_min=1e-3), Velocity()),
        full(exact_model(Karras(sigma_max=2000.0, t_min=1e-6), EDM())),
    ],
    ids=['flow', 'edm'],
)
def test_the_models_likelihood(model):
    got = jax.jit(model.log_prob)(VARIABLES, X[:8], KEY)
    assert got.kind == 'exact'
    np.testing.assert_allclose(got.value, log_prob(X[:8]), atol=1e-3)


def test_the_loss_of_the_flow_is_that_of_its_paper():
    """|F - (ε - x)|² at x_t = (1 - t) x + t ε, with F the network's output."""
    model = DiffusionModel(TimeMLP((2,), 8, 1))
    variables = model.init(KEY, {'x': X})
    variables = jax.tree.map(lambda a: a + 0.1, variables)
    loss = model.phases[0].loss(variables, {'x': X}, KEY)
    noisy, t, noise = model.diffuse(jax.random.split(KEY, 3)[0], X, None)
    np.testing.assert_allclose(noisy, (1 - t) * X + t * noise, rtol=1e-6)
    out = model.network.apply({'params': variables['params']['network']}, noisy, t[:, 0])
    np.testing.assert_allclose(loss.values, np.mean((out - (noise - X)) ** 2, axis=-1), rtol=1e-5)


def test_another_sampling_path():
    """DDIM sees the signal-to-noise ratio alone: along both paths it draws the same."""
    trained, path = LinearVP(), Karras(sigma_max=80.0)
    grid = KarrasSchedule()
    model = exact_model(trained, Epsilon(), sampling=DiffusionSampling(DDIM(), grid, 40))
    other = with_sampling(model, path=Karras(sigma_max=1.0))
    times = grid(trained, 40)
    moved = path.time(trained.log_snr(times))
    x = jax.random.normal(KEY, (16, 2))
    want = DDIM()(denoiser(trained), trained, times, x, KEY)
    scale = path.alpha(moved[0]) / trained.alpha(times[0])
    got = DDIM()(denoiser(path), path, moved.at[-1].set(0.0), scale * x, KEY)
    np.testing.assert_allclose(got, want, atol=2e-3)
    assert jnp.all(jnp.isfinite(other.sample(VARIABLES, KEY, 4)))


@pytest.mark.full
def test_the_uncertainty_is_the_logarithm_of_the_error():
    """Of a network that predicts 0 the error is known: that of the target, b² + a² E x²."""
    network = TimeMLP((2,), 4, 1)  # its output is 0 at first
    model = DiffusionModel(network, CosineVP(), V(), uncertainty=TimeUncertainty(32))
    assert [phase.trains for phase in model.phases] == [('network', 'uncertainty')]
    x = jnp.tile(X, (8, 1))
    variables = model.init(KEY, {'x': x})

    def loss(params, key):
        params = {**variables['params'], 'uncertainty': params}
        out = model.phases[0].loss({'params': params, 'state': {}}, {'x': x}, key)
        return jnp.mean(out.values)

    optimizer = optax.adam(0.03)

    def step(carry, key):
        updates, state = optimizer.update(jax.grad(loss)(carry[0], key), carry[1])
        return (optax.apply_updates(carry[0], updates), state), None

    params = variables['params']['uncertainty']
    keys = jax.random.split(KEY, 600)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    t = np.linspace(0.05, 0.95, 10)
    got = model.uncertainty.apply({'params': params}, jnp.asarray(t))
    alpha, sigma = np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)
    want = np.log(alpha**2 + sigma**2 * np.mean(np.square(X)))
    np.testing.assert_allclose(got, want, atol=0.12)


def test_edm_on_the_straight_path():
    """α is 0 at its end."""
    sampling = DiffusionSampling(steps=20)
    model = exact_model(Rectified(), EDM(), sampling=sampling)
    want = exact_model(Rectified(), Velocity(), sampling=sampling).sample(VARIABLES, KEY, 16)
    np.testing.assert_allclose(model.sample(VARIABLES, KEY, 16), want, atol=5e-3)


def test_mistakes_are_named():
    network = TimeMLP((2,), 8, 1)
    with pytest.raises(UserError, match='coupling'):
        DiffusionModel(network, coupling='ot')
    with pytest.raises(UserError, match='likelihood'):
        DiffusionModel(network, likelihood='exact')
    with pytest.raises(UserError, match='steps'):
        DiffusionSampling(steps=0)
    for share in (-0.1, 1.0, 1.5, float('nan')):
        with pytest.raises(UserError, match='condition_dropout must be at least 0 and less than 1'):
            DiffusionModel(network, num_classes=3, condition_dropout=share)
    with pytest.raises(UserError, match=r'UniformLogSNR needs .* Rectified a t_min above 0'):
        UniformLogSNR().draw(Rectified(), KEY, 3)
    with pytest.raises(UserError, match='the variational bound needs'):
        exact_model(Rectified(), Velocity(), likelihood='vlb').log_prob(VARIABLES, X, KEY)
    with pytest.raises(UserError, match='no labels'):
        DiffusionModel(network).sample(VARIABLES, KEY, 3, label=jnp.zeros(3, jnp.int32))
