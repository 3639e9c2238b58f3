"""Quantisers and VQ-VAE against numpy, enumeration and hand-made cases."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation import CodebookUse, EvaluationData
from genjax.models.vae.quantised import VQVAE
from genjax.networks import MLP
from genjax.networks.quantisers import (
    FiniteScalarQuantiser,
    VectorQuantiser,
    code_counts,
    codebook_use,
    moving_averages,
    nearest_code,
)
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KEY = jax.random.key(4)


def test_codebook_averages_against_numpy():
    rng = np.random.default_rng(0)
    count, total = rng.uniform(1, 3, 4), rng.standard_normal((4, 2))
    vectors, weight = rng.standard_normal((10, 2)), rng.integers(0, 3, 10)
    codes = total / count[:, None]
    index = np.argmin(((vectors[:, None] - codes) ** 2).sum(-1), axis=1)
    np.testing.assert_array_equal(nearest_code(jnp.asarray(vectors), jnp.asarray(codes)), index)
    shares = weight / weight.sum()
    want_count = 0.9 * count + 0.1 * np.bincount(index, shares, minlength=4)
    want_total = 0.9 * total
    for vector, code, share in zip(vectors, index, shares, strict=True):
        want_total[code] += 0.1 * share * vector
    arrays = (jnp.asarray(a, jnp.float32) for a in (count, total, vectors))
    got_count, got_total = moving_averages(*arrays, jnp.asarray(index), jnp.asarray(weight), 0.9)
    np.testing.assert_allclose(got_count, want_count, rtol=1e-5)
    np.testing.assert_allclose(got_total, want_total, rtol=1e-4, atol=1e-6)


def test_training_updates_the_codebook():
    quantiser = VectorQuantiser(3, 2, decay=0.5)
    count, total = jnp.array([1.0, 1.0, 0.025]), jnp.array([[0, 0], [1, 1], [12.5, 0]])
    h = jnp.array([[[0.2, 0.0], [0.0, 0.2]], [[1.0, 1.2], [0.9, 1.0]]])
    state = {'codebook': {'count': count, 'total': total}}
    out, new = quantiser.apply(state, h, train=True, rngs={'dropout': KEY}, mutable=['codebook'])
    np.testing.assert_array_equal(out.index, [[0, 0], [1, 1]])
    np.testing.assert_allclose(out.z, [[[0, 0]] * 2, [[1, 1]] * 2], atol=1e-6)
    np.testing.assert_allclose(out.distance, [[0.04, 0.04], [0.04, 0.01]], atol=1e-6)
    new = new['codebook']
    np.testing.assert_allclose(new['count'], [0.75, 0.75, 0.0125], rtol=1e-6)
    np.testing.assert_allclose(new['total'][:2], [[0.025, 0.025], [0.7375, 0.775]], rtol=1e-5)
    found = jnp.min(jnp.abs(h.reshape(-1, 1, 2) - new['fresh']).sum(-1), axis=0)
    np.testing.assert_array_equal(found, 0)
    same = quantiser.apply(state, h)
    np.testing.assert_array_equal(same.index, out.index)


def test_dead_codes_restart_at_a_uniform_vector_of_all_micro_batches():
    model = VQVAE(MLP((4,)), MLP((4,), shape=(2,)), 2, VectorQuantiser(4, 1))
    micro_batches = jnp.array([[0.0, 1.0], [2.0, 3.0], [4.0, -9.0]])[:, :, None]
    weight = jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    used = {'count': jnp.array([0.97, 0.01, 0.01, 0.01]), 'total': jnp.full((4, 1), 7.0)}

    def restarted(key):
        def one(h, weight, key):
            quantiser = model.quantiser.clone(decay=1.0)
            new = quantiser.apply(
                {'codebook': used}, h, weight, train=True, rngs={'dropout': key}, mutable=True
            )[1]['codebook']
            return {'encoder': {'codebook': {'quantiser': new}}}

        before = {'encoder': {'codebook': {'quantiser': used}}}
        states = jax.vmap(one)(micro_batches, weight, jax.random.split(key, 3))
        after = model.phases[0].merge(before, states, weight.sum(1))
        return after['encoder']['codebook']['quantiser']

    books = jax.jit(jax.vmap(restarted))(jax.random.split(KEY, 2000))
    np.testing.assert_allclose(books['count'][:, 1:], 1 / 4)
    np.testing.assert_allclose(books['total'][:, 0], 7.0)
    codes = np.asarray(books['total'] / books['count'][..., None])[:, 1:].ravel()
    values, counts = np.unique(codes, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(5))
    np.testing.assert_allclose(counts / counts.sum(), 1 / 5, atol=0.02)


@pytest.mark.parametrize('quantiser', [VectorQuantiser(5, 3), FiniteScalarQuantiser((5, 4, 3))])
def test_gradients_pass_straight_through(quantiser):
    h = jax.random.normal(KEY, (6, 3)) * 0.1
    variables = quantiser.init({'params': KEY}, h)
    slope = jax.random.normal(jax.random.key(1), (6, 3))
    gradient = jax.grad(lambda h: jnp.sum(slope * quantiser.apply(variables, h).z))(h)
    if isinstance(quantiser, VectorQuantiser):
        np.testing.assert_allclose(gradient, slope, rtol=1e-6)
        pull = jax.grad(lambda h: jnp.sum(quantiser.apply(variables, h).distance))(h)
        np.testing.assert_allclose(pull, 2 * (h - quantiser.apply(variables, h).z), atol=1e-5)
    else:
        # Of the bounding function alone, tanh near zero: the rounding has slope one.
        levels = np.array([5, 4, 3])
        reach, offset = (levels - 1) * 1.001 / 2, np.array([0, 0.5, 0])
        inner = np.tanh(np.asarray(h) + np.arctanh(offset / reach))
        want = slope * reach * (1 - inner**2) / (levels // 2)
        np.testing.assert_allclose(gradient, want, rtol=1e-4)


@pytest.mark.parametrize('levels', [(3, 3), (8, 5, 4), (7,), (1001,), (1024,), (3, 4096)])
def test_all_codes_of_fsq_are_found_and_come_back(levels):
    quantiser = FiniteScalarQuantiser(levels)
    index = jnp.arange(quantiser.num_codes)
    z = quantiser.lookup(index)
    assert len({tuple(row) for row in np.asarray(z).round(5).tolist()}) == np.prod(levels)
    assert jnp.all(jnp.abs(z) <= 1)
    # What the bounding function undoes: any vector whose bounded value rounds to the code.
    count = np.asarray(levels)
    reach, offset = (count - 1) * 1.001 / 2, np.where(count % 2 == 0, 0.5, 0.0)
    h = np.arctanh((np.asarray(z) * (count // 2) + offset) / reach) - np.arctanh(offset / reach)
    back = quantiser(jnp.asarray(h, jnp.float32))
    np.testing.assert_array_equal(back.index, index)
    np.testing.assert_allclose(back.z, z, atol=1e-5)
    extreme = quantiser(jnp.full((1, len(levels)), 1e4) * jnp.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(extreme.index, [quantiser.num_codes - 1, 0])
    np.testing.assert_allclose(extreme.z, quantiser.lookup(extreme.index), atol=1e-6)


def _trained_a_little(entry):
    """Variables whose prior is not uniform."""
    variables = jax.jit(entry.model.init)(KEY, entry.batch())
    noise = jax.tree.map(
        lambda a: 0.5 * jax.random.normal(KEY, a.shape), variables['params']['prior']
    )
    return {**variables, 'params': {**variables['params'], 'prior': noise}}


def test_the_prior_of_the_codes_sums_to_one_and_is_what_is_sampled():
    entry = BY_NAME['vq']
    model, variables = entry.model, _trained_a_little(entry)
    every = jnp.array(list(itertools.product(range(model.num_codes), repeat=model.num_tokens)))
    mass = jnp.exp(model._log_prior(variables, every))
    assert float(jnp.sum(mass)) == pytest.approx(1, abs=1e-5)
    assert float(jnp.max(mass)) > 2 * float(jnp.min(mass))
    codes = jax.jit(model.sample_codes, static_argnums=2)(variables, KEY, 20_000)
    places = model.num_codes ** jnp.arange(model.num_tokens)[::-1]
    shares = code_counts(codes @ places, len(every)) / len(codes)
    np.testing.assert_allclose(shares, mass, atol=0.02)


def test_without_a_prior_codes_are_uniform():
    entry = BY_NAME['vq']
    model = dataclasses.replace(entry.model, prior=None)
    variables = jax.jit(model.init)(KEY, entry.batch())
    assert [phase.name for phase in model.phases] == ['autoencoder']
    codes = jax.jit(model.sample_codes, static_argnums=2)(variables, KEY, 5000)
    np.testing.assert_allclose(code_counts(codes, 4) / codes.size, 0.25, atol=0.02)
    np.testing.assert_allclose(model._log_prior(variables, codes[:2]), -2 * np.log(4), rtol=1e-6)


def test_log_prob_is_one_term_of_the_sum_over_codes():
    entry = BY_NAME['vq']
    model, variables, x = entry.model, _trained_a_little(entry), entry.batch()['x']
    every = jnp.array(list(itertools.product(range(4), repeat=2)))
    params = model._decode(variables, model._lookup(variables, every))
    given = jnp.stack([model.likelihood.log_prob(params, x[i][None]) for i in range(8)])
    joint = given + model._log_prior(variables, every)
    codes = model.encode(variables, x, KEY)
    got = jax.jit(model.log_prob)(variables, x, KEY)
    np.testing.assert_allclose(
        got.value, joint[jnp.arange(8), codes @ jnp.array([4, 1])], rtol=1e-4
    )
    assert got.kind == 'lower_bound'
    assert jnp.all(got.value <= jax.nn.logsumexp(joint, axis=1) + 1e-4)


def test_the_prior_learns_without_touching_the_autoencoder():
    entry = BY_NAME['vq']
    variables = jax.jit(entry.model.init)(KEY, entry.batch())
    _, phase = entry.model.phases
    assert phase.trains == ('prior',)

    def total(params):
        return jnp.sum(phase.loss({**variables, 'params': params}, entry.batch(), KEY).values)

    gradient = jax.jit(jax.grad(total))(variables['params'])
    assert all(
        jnp.all(leaf == 0) for g in ('encoder', 'decoder') for leaf in jax.tree.leaves(gradient[g])
    )


def test_evaluator_counts_the_tokens_of_a_split():
    entry = BY_NAME['vq']
    model, x = entry.model, entry.batch()['x']
    variables = jax.jit(model.init)(KEY, entry.batch())

    def batches(size):
        mask = jnp.arange(8) < 6
        yield {'x': x, 'mask': mask}

    data = EvaluationData(None, 'test', batches, Chain(()))
    figures = CodebookUse()(model, variables, data, KEY)
    counts = code_counts(model.encode(variables, x[:6], KEY), 4)
    use, perplexity = codebook_use(counts)
    assert figures['use'] == pytest.approx(float(use))
    assert figures['perplexity'] == pytest.approx(float(perplexity), rel=1e-5)
    assert figures['protocol'] == '12 tokens of test, 4 codes'
    with pytest.raises(UserError, match='not discrete'):
        CodebookUse()(BY_NAME['vae'].model, {}, data, KEY)


def test_codebook_use_and_perplexity():
    index = jnp.array([[0, 1], [1, 3]])
    masked = code_counts(index, 5, jnp.array([[True], [False]]))
    np.testing.assert_array_equal(masked, [1, 1, 0, 0, 0])
    counts = code_counts(index, 5)
    np.testing.assert_array_equal(counts, [1, 2, 0, 1, 0])
    use, perplexity = codebook_use(counts)
    assert float(use) == pytest.approx(0.6)
    assert float(perplexity) == pytest.approx(2**1.5, rel=1e-5)


def test_mistakes_are_named():
    with pytest.raises(UserError, match='levels'):
        FiniteScalarQuantiser((8, 2))
    with pytest.raises(UserError, match='int32'):
        FiniteScalarQuantiser((65536, 65536))
    with pytest.raises(UserError, match='num_tokens'):
        VQVAE(MLP((4,)), MLP((4,), shape=(3,)), 0)
    with pytest.raises(UserError, match='dim=3'):
        VectorQuantiser(4, 3).init({'params': KEY}, jnp.zeros((2, 4)))
