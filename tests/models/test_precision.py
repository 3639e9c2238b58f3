"""Products of float32 that enter an exact quantity ask for full precision, on every device."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from genjax.data import Chain
from genjax.evaluation import AIS, PerceptualPathLength, ais, path_length, wasserstein
from genjax.models import conditions, flow
from genjax.models.autoregressive import LogisticMixture
from genjax.models.diffusion.coupling import optimal_noise
from genjax.models.gan.stylegan import _moved
from genjax.networks import quantisers
from tests.models.probe import conditions_of
from tests.models.zoo import ZOO, every

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
_PRODUCTS = ('dot_general', 'conv_general_dilated')
_EXACT = ('log_prob', 'rate_distortion', 'token_log_probs')


def rounded_products(function, *args):
    """The products of float32 in a function's program whose operands a device may round."""
    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in _PRODUCTS:
                precision = equation.params['precision']
                exact = precision == (jax.lax.Precision.HIGHEST,) * 2
                if not exact and all(v.aval.dtype == jnp.float32 for v in equation.invars):
                    found.append(equation)
            is_jaxpr = lambda value: isinstance(value, Jaxpr | ClosedJaxpr)  # noqa: E731
            for value in jax.tree.leaves(equation.params, is_leaf=is_jaxpr):
                if is_jaxpr(value):
                    walk(getattr(value, 'jaxpr', value))

    walk(jax.make_jaxpr(function)(*args).jaxpr)
    return found


@jax.custom_vjp
def _custom(x):
    return x @ x


_custom.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x,))


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda x: x @ x,
        jax.jit(lambda x: x @ x),
        jax.checkpoint(lambda x: x @ x),
        _custom,
        jax.vmap(lambda x: x @ jnp.eye(3)),
        lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, length=2)[0],
        lambda x: jax.lax.while_loop(lambda c: c[0, 0] < 1, lambda c: c @ c, x),
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x, x),
        lambda x: jax.lax.map(lambda row: row @ x, x),
        jax.grad(lambda x: jnp.sum(jax.checkpoint(lambda x: x @ x)(x))),
    ],
)
def test_a_product_is_found_wherever_it_is(wrapped):
    assert rounded_products(wrapped, jnp.ones((3, 3)))


def _abstract(entry):
    """The batch and the variables of an entry, as shapes only."""
    batch = entry.batch(4)
    return batch, jax.eval_shape(entry.model.init, KEY, batch)


@every([entry for entry in ZOO if hasattr(entry.model, 'log_prob')])
def test_densities_and_bounds(entry):
    model, (batch, variables) = entry.model, _abstract(entry)
    for name in _EXACT:
        if not hasattr(model, name):
            continue
        given = {name: batch[name] for name in conditions_of(entry) if name == 'context'}
        if name == 'rate_distortion':
            given = {'condition': conditions.of_batch(model, batch)}
        method = functools.partial(getattr(model, name), **given)
        assert not rounded_products(method, variables, batch['x'], KEY), name


@every([e for e in ZOO if isinstance(e.model, flow.Flow | flow.ContinuousFlow)])
def test_inverses_of_flows(entry):
    model, (batch, variables) = entry.model, _abstract(entry)
    given = {name: batch[name] for name in conditions_of(entry) if name == 'context'}
    assert not rounded_products(functools.partial(model.features, **given), variables, batch['x'])
    assert not rounded_products(lambda v, k: model.sample(v, k, 4, **given), variables, KEY)


@pytest.mark.parametrize('method', ['transform_and_log_det', 'inverse_and_log_det'])
def test_a_linear_layer_by_itself_and_in_training(method):
    layer = flow.Repeat(flow.Chain((flow.ActNorm(), flow.InvertibleLinear())), 2)
    x = jnp.ones((4, 6))
    variables = jax.eval_shape(layer.init, KEY, x)

    def total(variables, x):
        return sum(map(jnp.sum, layer.apply(variables, x, method=method)))

    assert not rounded_products(total, variables, x)
    assert not rounded_products(jax.grad(total), variables, x)


def test_codes_matchings_and_averages():
    vectors, codes = jnp.ones((5, 3)), jnp.ones((4, 3))
    assert not rounded_products(quantisers.nearest_code, vectors, codes)
    quantiser = quantisers.VectorQuantiser(4, 3)
    variables = jax.eval_shape(quantiser.init, {'params': KEY, 'dropout': KEY}, vectors)

    def train(variables, vectors):
        options = {'train': True, 'rngs': {'dropout': KEY}, 'mutable': ['codebook']}
        return quantiser.apply(variables, vectors, **options)

    assert not rounded_products(train, variables, vectors)
    assert not rounded_products(optimal_noise, vectors, vectors)
    mixture = LogisticMixture(2, levels=4)
    params = jnp.zeros((2, 2, 2, mixture.outputs(3)))
    assert not rounded_products(mixture.log_prob, params, jnp.zeros((2, 2, 2, 3)))
    assert not rounded_products(lambda w, x: _moved(x[0], x, w, 0.9), jnp.ones(5), vectors)


def test_evaluations_that_compute_with_networks():
    entry = {e.name: e for e in ZOO}
    batch, variables = _abstract(entry['vae'])
    bounds = AIS(num_steps=2, num_chains=1, num_leapfrog=1, batch_size=4)
    model = entry['vae'].model
    assert not rounded_products(
        lambda v, b, k: ais._batch_moments(bounds, model, Chain(()), v, b, k), variables, batch, KEY
    )
    assert not rounded_products(
        lambda v, k: ais._simulated_bounds(bounds, model, v, k), variables, KEY
    )
    model, (batch, variables) = entry['stylegan'].model, _abstract(entry['stylegan'])
    lengths = PerceptualPathLength(batch_size=4)
    assert not rounded_products(
        lambda v, k, y: path_length._steps(lengths, model, v, k, {'label': y}),
        variables,
        KEY,
        batch['label'],
    )
    model, (batch, variables) = entry['gan-wasserstein'].model, _abstract(entry['gan-wasserstein'])
    x = batch['x']
    assert not rounded_products(
        lambda v, x, k: wasserstein._gap_and_slope(model, v, x, x, k), variables, x, KEY
    )
