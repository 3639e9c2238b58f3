"""The model's loss, guides and parts, against the mixture whose denoisers are known."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linear_sum_assignment

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.diffusion import (
    DDIM,
    EDM,
    ELBO,
    X0,
    Autoguidance,
    Classifier,
    ClassifierFree,
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
    guided_denoisers,
)
from genjax.models.diffusion.coupling import optimal_noise
from genjax.models.diffusion.likelihood import vlb_ends
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP, TimeUncertainty
from tests.models.diffusion.gaussians import (
    MEANS,
    SCALE,
    denoiser,
    draw,
    log_prob,
    log_prob_of_parts,
)
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
X = jnp.asarray(draw(np.random.RandomState(0), 64))


class Exact(nn.Module):
    """The network that says what the exact denoiser of the mixture does."""

    along: object = None
    parameterisation: object = None
    shape: tuple = (2,)
    num_classes: int | None = None

    def __call__(self, x, time, condition=None):
        t = time[:, None]
        if isinstance(self.parameterisation, EDM):
            t = self.along.time(-8.0 * t)
        x = x / self.parameterisation.input_scale(self.along, t)
        prediction = denoiser(self.along)(x, t)
        if condition is not None:
            label = jnp.argmax(condition, axis=-1)
            parts = [denoiser(self.along, k)(x, t) for k in range(3)]
            of_label = jax.tree.map(
                lambda *a: jnp.stack(a)[jnp.minimum(label, 2), jnp.arange(len(x))], *parts
            )
            none = (label == 3)[:, None]
            prediction = jax.tree.map(lambda a, b: jnp.where(none, a, b), prediction, of_label)
        a, b = self.parameterisation.target(self.along, t)
        return a * prediction.data + b * prediction.noise


def exact_model(path, parameterisation, **fields):
    return DiffusionModel(Exact(path, parameterisation), path, parameterisation, **fields)


VARIABLES = {'params': {'network': {}}, 'state': {}}


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


def test_labels_are_dropped_at_their_rate():
    model = exact_model(Rectified(), Velocity(), num_classes=3, condition_dropout=0.3)
    condition = jax.nn.one_hot(jnp.ones(20_000, jnp.int32), 3)
    dropped = conditions.dropped(model, KEY, condition, model.condition_dropout)
    null = np.asarray(dropped[:, 3] == 1)
    np.testing.assert_array_equal(dropped, np.where(null[:, None], [0, 0, 0, 1], [0, 1, 0, 0]))
    assert np.mean(null) == pytest.approx(0.3, abs=0.015)


@pytest.mark.parametrize('path', [CosineVP(), Rectified(t_max=0.999)], ids=['cosine', 'rectified'])
def test_guidance_by_bayes_rule(path):
    """The exact classifier with weight 1 makes the denoiser of the mixture that of the part."""
    label = jnp.arange(16) % 3

    def log_prob(x, t):
        logits = jax.nn.log_softmax(log_prob_of_parts(x, path.alpha(t), path.sigma(t)))
        return jnp.take_along_axis(logits, label[:, None], axis=-1)[:, 0]

    guided = guided_denoisers.classifier(denoiser(path), path, log_prob, 1.0)
    for t in (0.1, 0.5, 0.9):
        got, at = guided(X[:16], jnp.float32(t)), jnp.float32(t)
        for part in range(3):
            want = denoiser(path, part)(X[:16], at)
            rows = label == part
            np.testing.assert_allclose(got.data[rows], want.data[rows], atol=1e-3)
            np.testing.assert_allclose(got.noise[rows], want.noise[rows], atol=1e-3)


def test_classifier_free_guidance_and_its_interval():
    path, label = CosineVP(), jnp.arange(16) % 3
    sampling = DiffusionSampling(guide=ClassifierFree(2.5, (0.2, 0.6)))
    model = exact_model(path, V(), num_classes=3, sampling=sampling)
    guided = sampling.guide.guided(model, VARIABLES, jax.nn.one_hot(label, 3))
    for t, weight in ((0.4, 2.5), (0.7, 1.0), (0.1, 1.0)):
        at = jnp.float32(t)
        plain = denoiser(path)(X[:16], at).data
        parts = jnp.stack([denoiser(path, k)(X[:16], at).data for k in range(3)])
        want = plain + weight * (parts[label, jnp.arange(16)] - plain)
        np.testing.assert_allclose(guided(X[:16], at).data, want, atol=1e-4)


@pytest.mark.parametrize('share', [0.7, full(1.0)])
def test_rescaled_guidance(share):
    """Eqs. 15 and 16 of Lin et al. (2024), of the network's outputs."""
    path, label = CosineVP(), jnp.arange(16) % 3
    sampling = DiffusionSampling(guide=ClassifierFree(7.5, rescale=share))
    model = exact_model(path, V(), num_classes=3, sampling=sampling)
    condition = jax.nn.one_hot(label, 3)
    at = jnp.float32(0.6)
    got = sampling.guide.guided(model, VARIABLES, condition)(X[:16], at)
    none = jnp.zeros((16, 4)).at[:, 3].set(1.0)
    positive, negative = (
        np.asarray(model.network.clone(num_classes=3)(X[:16], jnp.full(16, at), each))
        for each in (jnp.pad(condition, ((0, 0), (0, 1))), none)
    )
    guided = negative + 7.5 * (positive - negative)
    scaled = guided * positive.std(axis=1, keepdims=True) / guided.std(axis=1, keepdims=True)
    want = share * scaled + (1 - share) * guided
    found = path.alpha(at) * got.noise - path.sigma(at) * got.data
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(path.alpha(at) * got.data + path.sigma(at) * got.noise, X[:16], 1e-4)


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


def test_guided_samples_carry_their_label():
    sampling = DiffusionSampling(steps=20, guide=ClassifierFree(3.0))
    model = exact_model(CosineVP(), V(), num_classes=3, sampling=sampling)
    label = jnp.arange(300) % 3
    x = jax.jit(lambda: model.sample(VARIABLES, KEY, 300, label=label))()
    nearest = jnp.argmin(jnp.sum((x[:, None] - MEANS) ** 2, axis=-1), axis=-1)
    assert float(jnp.mean(nearest == label)) > 0.99


def test_autoguidance_goes_away_from_the_weak_network():
    path = Rectified()
    strong, weak = denoiser(path), denoiser(path, 0)
    guided = guided_denoisers.autoguidance(strong, weak, 3.0)
    at = jnp.float32(0.4)
    want = 3.0 * strong(X, at).data - 2.0 * weak(X, at).data
    np.testing.assert_allclose(guided(X, at).data, want, atol=1e-5)
    sampling = DiffusionSampling(guide=Autoguidance(TimeMLP((2,), 4, 1)))
    model = DiffusionModel(TimeMLP((2,), 8, 1), sampling=sampling)
    variables = model.init(KEY, {'x': X})
    assert sorted(variables['params']) == ['network', 'weak']
    assert [phase.trains for phase in model.phases] == [('network',), ('weak',)]


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


def test_bounds_hold_the_expected_data():
    path = CosineVP()
    clipped = guided_denoisers.bounded(denoiser(path), path, -0.2, 0.2)
    at = jnp.float32(0.5)
    got = clipped(X, at)
    want = jnp.clip(denoiser(path)(X, at).data, -0.2, 0.2)
    np.testing.assert_allclose(got.data, want, atol=1e-6)
    np.testing.assert_allclose(path.alpha(at) * got.data + path.sigma(at) * got.noise, X, atol=1e-5)


def test_the_optimal_coupling_is_scipys():
    noise = jax.random.normal(KEY, X.shape)
    got = optimal_noise(X, noise)
    cost = np.sum((np.asarray(X)[:, None] - np.asarray(noise)) ** 2, axis=-1)
    columns = linear_sum_assignment(cost)[1]
    np.testing.assert_array_equal(got, noise[columns])
    # Padding takes what is left.
    mask = jnp.arange(len(X)) < 40
    columns = linear_sum_assignment(cost[:40])[1]
    np.testing.assert_array_equal(optimal_noise(X, noise, mask)[:40], noise[columns])


def test_the_optimal_coupling_keeps_noise_within_its_class():
    """Otherwise the noise of a class leans to its data, and samples, whose noise does not, miss."""
    label = jnp.arange(len(X)) % 3
    noise = jax.random.normal(KEY, X.shape)
    condition = jax.nn.one_hot(label, 3)
    got = np.asarray(optimal_noise(X, noise, None, condition))
    masked = np.asarray(optimal_noise(X, noise, jnp.arange(len(X)) < 40, condition))
    for each in range(3):
        rows = np.flatnonzero(label == each)
        cost = np.sum((np.asarray(X)[rows, None] - np.asarray(noise)[rows]) ** 2, axis=-1)
        columns = linear_sum_assignment(cost)[1]
        np.testing.assert_array_equal(got[rows], noise[rows[columns]])
        real = rows < 40
        columns = linear_sum_assignment(cost[np.ix_(real, real)])[1]
        np.testing.assert_array_equal(masked[rows[real]], noise[rows[real][columns]])


@pytest.mark.full
def test_labels_act_under_the_optimal_coupling():
    """Two classes on either side of 0, a network trained for 300 steps."""
    network = TimeMLP((1,), 32, 2, time_scale=10.0)
    model = DiffusionModel(network, coupling='optimal', num_classes=2)

    def data(key, num=32):
        label = jnp.arange(num) % 2
        return {'x': 2.0 * label[:, None] - 1 + 0.25 * jax.random.normal(key, (num, 1)),
                'label': label}  # fmt: skip

    optimizer = optax.adam(5e-3)

    def step(carry, key):
        params, state = carry
        data_key, key = jax.random.split(key)

        def loss(params):
            variables = {'params': params, 'state': {}}
            return jnp.mean(model.denoising_loss(variables, data(data_key), key).values)

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def samples(key):
        init_key, train_key, key = jax.random.split(key, 3)
        params = model.init(init_key, data(key))['params']
        start = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, start, jax.random.split(train_key, 300))
        label = jnp.arange(2000) % 2
        return model.sample({'params': params, 'state': {}}, key, 2000, label=label)[:, 0]

    assert np.mean((samples(KEY) > 0) == np.arange(2000) % 2) > 0.97


def test_edm_on_the_straight_path():
    """α is 0 at its end."""
    sampling = DiffusionSampling(steps=20)
    model = exact_model(Rectified(), EDM(), sampling=sampling)
    want = exact_model(Rectified(), Velocity(), sampling=sampling).sample(VARIABLES, KEY, 16)
    np.testing.assert_allclose(model.sample(VARIABLES, KEY, 16), want, atol=5e-3)


def test_guides_need_what_training_has_taught():
    """Also where they are set after training."""
    network, label = TimeMLP((2,), 8, 1), jnp.zeros(3, jnp.int32)
    sampling = DiffusionSampling(steps=2)
    model = DiffusionModel(network, num_classes=3, condition_dropout=0.0, sampling=sampling)
    variables = model.init(KEY, {'x': X[:2], 'label': label[:2]})
    with pytest.raises(
        UserError, match=r'ClassifierFree asks .* without a condition.*condition_dropout=0'
    ):
        with_sampling(model, guide=ClassifierFree())
    with pytest.raises(
        UserError, match=r'log_prob asks .* without a condition.*condition_dropout=0'
    ):
        model.log_prob(variables, X[:2], KEY)
    for guide, group in (
        (Classifier(TimeMLP((3,), 4, 1)), 'classifier'),
        (Autoguidance(TimeMLP((2,), 4, 1)), 'weak'),
    ):
        other = with_sampling(model, guide=guide)
        for sample in (
            lambda other=other: other.sample(variables, KEY, 3, label=label),
            lambda other=other: other.inpaint(variables, KEY, X[:3], X[:3] > 0, label=label),
        ):
            with pytest.raises(UserError, match=f'needs its network {group!r}.*guide='):
                sample()
    assert model.sample(variables, KEY, 3, label=label).shape == (3, 2)


def guided(network, guide, **fields):
    return DiffusionModel(network, sampling=DiffusionSampling(guide=guide), **fields)


def test_mistakes_are_named():
    network = TimeMLP((2,), 8, 1)
    with pytest.raises(UserError, match='coupling'):
        DiffusionModel(network, coupling='ot')
    with pytest.raises(UserError, match='likelihood'):
        DiffusionModel(network, likelihood='exact')
    with pytest.raises(UserError, match='steps'):
        DiffusionSampling(steps=0)
    with pytest.raises(UserError, match='num_classes'):
        guided(network, ClassifierFree())
    for share in (-0.1, 1.0, 1.5, float('nan')):
        with pytest.raises(UserError, match='condition_dropout must be at least 0 and less than 1'):
            DiffusionModel(network, num_classes=3, condition_dropout=share)
    for interval in ((0.5, 0.5), (0.9, 0.1), (-0.1, 1.0), (0.0, 1.5)):
        with pytest.raises(UserError, match='interval must be two times'):
            guided(network, ClassifierFree(2.0, interval), num_classes=3)
    with pytest.raises(UserError, match='num_classes'):
        guided(network, Classifier(TimeMLP((3,), 4, 1)))
    with pytest.raises(UserError, match=r'network.shape must be \(2,\)'):
        guided(network, Autoguidance(TimeMLP((3,), 4, 1)))
    with pytest.raises(UserError, match=r'UniformLogSNR needs .* Rectified a t_min above 0'):
        UniformLogSNR().draw(Rectified(), KEY, 3)
    with pytest.raises(UserError, match='the variational bound needs'):
        exact_model(Rectified(), Velocity(), likelihood='vlb').log_prob(VARIABLES, X, KEY)
    with pytest.raises(UserError, match='no labels'):
        DiffusionModel(network).sample(VARIABLES, KEY, 3, label=jnp.zeros(3, jnp.int32))
