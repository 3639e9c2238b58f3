"""Guided denoisers, against the mixture whose denoisers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.diffusion import (
    Autoguidance,
    Classifier,
    ClassifierFree,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    Rectified,
    V,
    Velocity,
    guided_denoisers,
)
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP
from tests.models.diffusion.exact import VARIABLES, exact_model
from tests.models.diffusion.gaussians import MEANS, denoiser, draw, log_prob_of_parts
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
X = jnp.asarray(draw(np.random.RandomState(0), 64))


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


def test_bounds_hold_the_expected_data():
    path = CosineVP()
    clipped = guided_denoisers.bounded(denoiser(path), path, -0.2, 0.2)
    at = jnp.float32(0.5)
    got = clipped(X, at)
    want = jnp.clip(denoiser(path)(X, at).data, -0.2, 0.2)
    np.testing.assert_allclose(got.data, want, atol=1e-6)
    np.testing.assert_allclose(path.alpha(at) * got.data + path.sigma(at) * got.noise, X, atol=1e-5)


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


def test_mistakes_of_guides_are_named():
    network = TimeMLP((2,), 8, 1)
    with pytest.raises(UserError, match='num_classes'):
        guided(network, ClassifierFree())
    for interval in ((0.5, 0.5), (0.9, 0.1), (-0.1, 1.0), (0.0, 1.5)):
        with pytest.raises(UserError, match='interval must be two times'):
            guided(network, ClassifierFree(2.0, interval), num_classes=3)
    with pytest.raises(UserError, match='num_classes'):
        guided(network, Classifier(TimeMLP((3,), 4, 1)))
    with pytest.raises(UserError, match=r'network.shape must be \(2,\)'):
        guided(network, Autoguidance(TimeMLP((3,), 4, 1)))
