import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.data import Chain as Preprocess
from genjax.data import Dequantise, Digits, Logit
from genjax.errors import UserError
from genjax.models import ContinuousFlow, Flow
from genjax.models.flow import (
    ActNorm,
    Affine,
    Autoregressive,
    Chain,
    Coupling,
    Flatten,
    Inverse,
    InvertibleLinear,
    Repeat,
    Reverse,
    Spline,
    Squeeze,
    StandardLogistic,
)
from genjax.networks import MLP, MaskedMLP
from tests.models.flow.test_bijections import random_params
from tests.tiers import few, full

KEY = jax.random.key(0)
SIDE = 161
LINE = jnp.linspace(-8, 8, SIDE)
GRID = jnp.stack(jnp.meshgrid(LINE, LINE), axis=-1).reshape(-1, 2)


def mlp():
    return MLP((8,), activation='tanh')


PLANE = {
    'realnvp': Flow(Repeat(Chain((Coupling(mlp()), Reverse())), 4), (2,), num_classes=2),
    'nsf': Flow(Chain((InvertibleLinear(), Coupling(mlp(), Spline()))), (2,)),
    'maf': Flow(Chain((Autoregressive(MaskedMLP((8,))), Reverse())), (2,), num_classes=3),
    'cnf': ContinuousFlow(mlp(), (2,), tolerance=1e-4),
}


def trained(model):
    def init(key, x):
        return model.init(key, {'x': x, 'label': jnp.zeros(len(x), jnp.int32)})

    return random_params(init, GRID[:8], seed=1)


@pytest.mark.parametrize('name', few(list(PLANE), ['realnvp', 'maf', 'cnf']))
def test_the_density_integrates_to_one(name):
    """With classes, that of their mixture."""
    model = PLANE[name]
    result = jax.jit(model.log_prob)(trained(model), GRID, KEY)
    assert result.kind == 'exact'
    cell = (LINE[1] - LINE[0]) ** 2
    assert jnp.sum(jnp.exp(result.value)) * cell == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize('name', ['realnvp', full('nsf'), 'maf'])
def test_samples_follow_the_density(name):
    """The mean of log p over samples is what integrating p log p over the plane gives."""
    model = PLANE[name]
    variables = trained(model)
    x = jax.jit(model.sample, static_argnums=2)(variables, KEY, 2000)
    log_prob = jax.jit(model.log_prob)
    sampled = log_prob(variables, x, KEY).value
    on_grid = log_prob(variables, GRID, KEY).value
    integral = jnp.sum(jnp.exp(on_grid) * on_grid) * (LINE[1] - LINE[0]) ** 2
    error = jnp.std(sampled) / 2000**0.5
    assert jnp.abs(jnp.mean(sampled) - integral) < 4 * error


def test_encode_and_decode_undo_each_other():
    model, x = PLANE['maf'], jax.random.normal(KEY, (16, 2))
    variables = trained(model)
    z = model.encode(variables, x, KEY)
    np.testing.assert_allclose(model.decode(variables, z, KEY), x, atol=1e-5)
    # The code ends with the most likely class; another one decodes to another point.
    each = [model.log_prob(variables, x, KEY, label=jnp.full(16, k)).value for k in range(3)]
    np.testing.assert_array_equal(jnp.argmax(z[:, 2:], axis=1), jnp.argmax(jnp.stack(each), axis=0))
    np.testing.assert_allclose(
        model.log_prob(variables, x, KEY).value, jax.nn.logsumexp(jnp.stack(each), 0) - jnp.log(3)
    )
    label = jnp.argmin(z[:, 2:], axis=1)
    assert np.all(jnp.any(model.decode(variables, z, KEY, label=label) != x, axis=-1))


def test_a_bijection_that_changes_the_shape_is_refused():
    with pytest.raises(UserError, match=r'makes \(1, 1, 4\) of \(2, 2, 1\)'):
        Flow(Squeeze(), (2, 2, 1)).init(KEY, {'x': jnp.ones((1, 2, 2, 1))})


@pytest.mark.full
def test_test_images_are_no_outliers_to_a_flow_that_starts_from_training_images():
    shape, source = (8, 8, 1), {name: Digits().source(name) for name in ('train', 'test')}
    x = {name: jnp.asarray(s[np.arange(len(s))]['x']) for name, s in source.items()}
    layer = Chain((ActNorm(), Coupling(MLP((16,)), Affine()), Reverse()))
    stack = Chain((Flatten(shape), Repeat(layer, 8), Inverse(Flatten(shape))))
    preprocess = Preprocess((Dequantise(), Logit(0.05)))
    first, _ = preprocess(x['train'][:128], KEY)
    model = Flow(stack, shape)
    variables = model.init(KEY, {'x': first})

    def nll(x):
        y, log_det = preprocess(x, KEY)
        return -model.log_prob(variables, y, KEY).value - log_det

    train, test = map(jax.jit(nll), (x['train'], x['test']))
    assert np.mean(test) < np.mean(train) + 10
    assert np.max(test) < np.mean(train) + 500


def test_the_logistic_base():
    base, z = StandardLogistic(), jnp.linspace(-40, 40, 24).reshape(4, 6)
    want = scipy.stats.logistic.logpdf(np.asarray(z)).sum(-1)
    np.testing.assert_allclose(base.log_prob(z), want, rtol=1e-5)
    drawn = np.asarray(base.sample(KEY, (4000, 1)))[:, 0]
    assert scipy.stats.kstest(drawn, 'logistic').pvalue > 0.01
