"""Quantisers and VQ-VAE against numpy, enumeration and hand-made cases."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from genjax.data import Chain
from genjax.errors import UserError
from genjax.evaluation import CodebookUse, EvaluationData
from genjax.models import Gaussian
from genjax.models.vae.quantised import VQVAE
from genjax.networks import MLP, GumbelQuantiser, LookupFreeQuantiser, ResidualQuantiser
from genjax.networks.quantisers import (
    FiniteScalarQuantiser,
    VectorQuantiser,
    code_counts,
    codebook_use,
    moving_averages,
    nearest_code,
)
from tests.models.zoo import BY_NAME
from tests.tiers import full

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


@pytest.mark.parametrize(
    'levels', [full((3, 3)), (8, 5, 4), full((7,)), full((1001,)), full((1024,)), (3, 4096)]
)
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


def test_a_residual_quantiser_quantises_what_the_codes_before_leave():
    quantiser = ResidualQuantiser(3, 4, 2, decay=0.5)
    h = jax.random.normal(KEY, (5, 3, 2))
    variables = quantiser.init({'params': KEY}, h)
    rngs = {'dropout': KEY}
    out, new = quantiser.apply(variables, h, 1.0, True, rngs=rngs, mutable=['codebook'])
    rest, distance = np.asarray(h), 0.0
    for d in range(3):
        old = jax.tree.map(np.asarray, variables['codebook'][f'level_{d}'])
        codes = old['total'] / old['count'][:, None]
        index = np.argmin(((rest[..., None, :] - codes) ** 2).sum(-1), -1)
        np.testing.assert_array_equal(out.index[..., d], index)
        one = VectorQuantiser(4, 2, decay=0.5)
        _, want = one.apply({'codebook': old}, rest, 1.0, True, rngs=rngs, mutable=['codebook'])
        got = new['codebook'][f'level_{d}']
        np.testing.assert_allclose(got['total'], want['codebook']['total'], rtol=1e-4, atol=1e-6)
        rest = rest - codes[index]
        distance = distance + (rest**2).sum(-1)
    np.testing.assert_allclose(out.z, h - rest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out.distance, distance, rtol=1e-4)
    found = quantiser.apply(variables, out.index, method='lookup')
    np.testing.assert_allclose(found, out.z, rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda h: jnp.sum(quantiser.apply(variables, h).z))(h)
    np.testing.assert_allclose(slope, 1.0)


def test_codebooks_of_a_residual_quantiser_restart_each():
    quantiser = ResidualQuantiser(2, 2, 1, restart=0.1)
    model = VQVAE(MLP((4,)), MLP((4,), shape=(2,)), 2, quantiser)
    used = {'count': jnp.array([0.99, 0.01]), 'total': jnp.full((2, 1), 7.0)}
    new = {**used, 'fresh': jnp.array([[1.0], [2.0]]), 'lot': jnp.zeros(2)}
    both = {'level_0': new, 'level_1': {**new, 'count': jnp.array([0.5, 0.5])}}
    before = {'encoder': {'codebook': {'quantiser': {'level_0': used, 'level_1': used}}}}
    states = jax.tree.map(lambda a: a[None], {'encoder': {'codebook': {'quantiser': both}}})
    after = model.phases[0].merge(before, states, jnp.ones(1))['encoder']['codebook']['quantiser']
    np.testing.assert_allclose(after['level_0']['total'][:, 0], [7.0, 0.5 * 2.0])
    np.testing.assert_allclose(after['level_1']['total'][:, 0], [7.0, 7.0])
    assert set(after['level_0']) == {'count', 'total'}


def test_entropies_of_lookup_free_codes_by_enumeration():
    quantiser = LookupFreeQuantiser(3, entropy=0.5, diversity=2.0, temperature=1.5)
    codes = np.asarray(quantiser.lookup(jnp.arange(8)))
    assert len({tuple(row) for row in codes.tolist()}) == 8
    out = quantiser.apply({}, codes)
    np.testing.assert_array_equal(out.index, np.arange(8))
    np.testing.assert_array_equal(out.z, codes)
    h = np.asarray(jax.random.normal(KEY, (6, 2, 3)))
    weight = np.array([1, 1, 0, 1, 1, 1.0])[:, None]
    p = scipy.special.softmax(-((h[..., None, :] - codes) ** 2).sum(-1) / 1.5, axis=-1)
    mean = np.sum(weight[..., None] * p, axis=(0, 1)) / 10
    want = 0.5 * (scipy.stats.entropy(p, axis=-1) - 2.0 * scipy.stats.entropy(mean))
    got = quantiser.apply({}, h, weight, True)
    np.testing.assert_allclose(got.penalty, want, rtol=1e-4)
    np.testing.assert_allclose(got.distance, ((h - np.sign(h)) ** 2).sum(-1), rtol=1e-5)
    slope = jax.grad(lambda h: jnp.sum(quantiser.apply({}, h).z))(h)
    np.testing.assert_array_equal(slope, 1.0)


def test_the_loss_of_gumbel_codes_is_the_elbo_by_enumeration():
    """Of hard codes: the relaxation is in the gradient alone."""
    quantiser = GumbelQuantiser(3, temperature=0.7, hard=True)
    model = VQVAE(MLP((4,)), MLP((4,), shape=(2,)), 2, quantiser, Gaussian(1.0), 0.0)
    batch = {'x': jnp.array([[0.3, -0.8], [1.0, 2.0]])}
    variables = jax.jit(model.init)(KEY, batch)
    head = variables['params']['encoder']['head']
    head['kernel'] = 3 * head['kernel']
    h = MLP((4,)).apply({'params': variables['params']['encoder']['network']}, batch['x'])
    h = (h.reshape(2, -1) @ head['kernel'] + head['bias']).reshape(2, 2, 3)
    q = np.asarray(jax.nn.softmax(h))
    every = jnp.array(list(itertools.product(range(3), repeat=2)))
    decoded = model.decode(variables, every, KEY)
    log_p = scipy.stats.norm(decoded[None]).logpdf(batch['x'][:, None]).sum(-1)
    chance = q[:, 0, every[:, 0]] * q[:, 1, every[:, 1]]
    want = np.sum(chance * -log_p, 1) + np.sum(np.log(3) - scipy.stats.entropy(q, axis=-1), 1)
    loss = model.phases[0].loss
    keys = jax.random.split(KEY, 20_000)
    losses = jax.jit(jax.vmap(lambda key: loss(variables, batch, key).values))(keys)
    error = np.std(losses, 0) / np.sqrt(len(keys))
    np.testing.assert_array_less(np.abs(np.mean(losses, 0) - want), 4 * error)
    assert np.all(error < 0.02)


def test_relaxed_gumbel_codes_and_their_gradient():
    h, slope = jax.random.normal(KEY, (2, 4, 3))
    rngs = {'dropout': KEY}
    soft, hard = (GumbelQuantiser(3, temperature=0.5, hard=hard) for hard in (False, True))
    z = soft.apply({}, h, 1.0, True, rngs=rngs).z
    warm = GumbelQuantiser(3, temperature=2.0).apply({}, h, 1.0, True, rngs=rngs).z
    noisy = 0.5 * jnp.log(z) - 2.0 * jnp.log(warm)  # of the same noise: a constant
    np.testing.assert_allclose(noisy, jnp.broadcast_to(noisy[:, :1], noisy.shape), atol=1e-4)
    out = hard.apply({}, h, 1.0, True, rngs=rngs)
    np.testing.assert_allclose(out.z, jax.nn.one_hot(jnp.argmax(z, -1), 3), atol=1e-6)
    np.testing.assert_array_equal(out.index, jnp.argmax(z, -1))

    def pulled(quantiser):
        return jax.grad(lambda h: jnp.sum(slope * quantiser.apply({}, h, 1.0, True, rngs=rngs).z))(
            h
        )

    jacobian = (jax.vmap(jnp.diag)(z) - z[:, :, None] * z[:, None]) / 0.5
    want = jnp.einsum('nk,nkj->nj', slope, jacobian)
    for quantiser in (soft, hard):
        np.testing.assert_allclose(pulled(quantiser), want, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(soft.apply({}, h).index, jnp.argmax(h, -1))


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


@pytest.mark.full
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
