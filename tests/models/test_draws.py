"""Draws of rare values at their rates, against the probabilities in double precision."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import genjax.models
from genjax.models import draws
from genjax.models.diffusion import DiscreteAncestral, Masking, UniformNoise

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
TOKENS = np.array([1 - 1.01e-4, 1e-4, 1e-6])
DESCEND = jax.jit(draws.descend)


def rates(logits, bins=1500, least=1e-14):
    """The rate of each of up to four values, by integration over both uniform numbers: the shares
    of a grid that is as fine near 0, relatively, as near 1.
    """
    edges = np.concatenate([[0.0], np.geomspace(least, 1.0, bins)])
    centre, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    u = np.stack(np.meshgrid(centre, centre)).reshape(2, -1)
    drawn = DESCEND(jnp.asarray(u, jnp.float32), jnp.asarray(logits, jnp.float32))
    return np.bincount(drawn, np.outer(width, width).ravel(), len(logits))


@pytest.mark.parametrize('rare', [(1e-4, 2.4e-10), (2.4e-10, 1e-4), (1e-9, 0.0)])
@pytest.mark.parametrize('order', [(0, 1, 2, 3), (2, 1, 3, 0)])
def test_rare_values_are_drawn_at_their_rates(rare, order):
    """Down to what a token of rate 1e-6 has in one of 4,096 steps."""
    probability = np.array([0.6, 0.4 - sum(rare), *rare])[list(order)]
    with np.errstate(divide='ignore'):
        got = rates(np.log(probability))
    np.testing.assert_allclose(got, probability, rtol=0.02)


def test_values_of_many_levels_are_drawn_at_their_rates():
    probability = np.random.RandomState(0).dirichlet(np.ones(11))
    x = draws.categorical(KEY, jnp.log(probability), (50_000,))
    counts = np.bincount(x, minlength=11)
    assert scipy.stats.chisquare(counts, 50_000 * probability).pvalue > 1e-3


def test_fine_uniform_numbers_are_uniform_and_fine(monkeypatch):
    u = np.asarray(draws.fine_uniform(KEY, (100_000,)))
    assert scipy.stats.kstest(u, 'uniform').pvalue > 1e-3
    words = np.array([[0, 0, 3, 2**32 - 1], [5, 2**31, 2**31, 2**32 - 1]], np.uint32)
    monkeypatch.setattr(jax.random, 'bits', lambda key, shape, dtype: jnp.asarray(words))
    want = (words[0] + words[1] / 2.0**32) / 2.0**32
    got = draws.fine_uniform(KEY, (4,))
    np.testing.assert_allclose(got, want, rtol=1e-7)
    assert np.all(np.asarray(got) < 1)


def test_bits_have_the_rate_of_their_rarer_value():
    u = jnp.asarray([0.0, 1e-12, 1e-9, 1e-7, 0.3])
    for rate in (1e-10, 1e-8):
        want = (np.asarray(u) < rate).astype(np.float32)
        logit = jnp.log(rate)
        np.testing.assert_array_equal(draws.bits(u, logit), want)
        np.testing.assert_array_equal(draws.bits(u, -logit), 1 - want)
    drawn = draws.bernoulli(KEY, jnp.broadcast_to(jnp.log(0.3 / 0.7), (40_000,)))
    assert scipy.stats.binomtest(int(drawn.sum()), 40_000, 0.3).pvalue > 1e-3


def test_logistic_numbers_follow_their_distribution():
    x = np.asarray(draws.logistic(KEY, (100_000,)))
    assert scipy.stats.kstest(x, 'logistic').pvalue > 1e-3


def test_of_a_table_for_all_rows_and_of_values_that_cannot_be():
    probability = np.array([[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]])
    with np.errstate(divide='ignore'):
        logits = jnp.log(jnp.asarray(probability, jnp.float32))
    x = np.asarray(jax.jit(draws.categorical, static_argnums=2)(KEY, logits, (20_000, 2)))
    for row in range(2):
        counts = np.bincount(x[:, row], minlength=3)
        possible = probability[row] > 0
        assert np.all(counts[~possible] == 0)
        want = 20_000 * probability[row][possible]
        assert scipy.stats.chisquare(counts[possible], want).pvalue > 1e-3
    assert np.all(np.asarray(draws.categorical(KEY, jnp.full((5, 3), jnp.nan))) < 3)
    np.testing.assert_array_equal(draws.categorical(KEY, jnp.zeros((4, 1))), 0)


@pytest.mark.parametrize('steps', [64, 4096])
@pytest.mark.parametrize('schedule', ['linear', 'cosine', 'sine'])
def test_masks_become_tokens_at_the_rates_of_the_tokens(schedule, steps):
    """Over all steps, each with the posterior of the program in float32."""
    path, times = Masking(schedule), jnp.linspace(1.0, 0.0, steps + 1)
    masked = jnp.full((steps,), len(TOKENS))
    log_probs = jnp.broadcast_to(jnp.log(TOKENS), (steps, len(TOKENS)))
    log_posterior = path.log_posterior(masked, log_probs, times[:-1], times[1:])
    posterior = np.exp(np.asarray(log_posterior, np.float64))
    posterior /= posterior.sum(-1, keepdims=True)
    still = np.cumprod(np.concatenate([[1.0], posterior[:-1, -1]]))
    np.testing.assert_allclose(still @ posterior[:, :-1], TOKENS, rtol=1e-3)
    step = steps // 2
    np.testing.assert_allclose(rates(log_posterior[step]), posterior[step], rtol=0.02)


@pytest.mark.parametrize('schedule', ['linear', 'cosine', 'sine'])
def test_uniform_noise_becomes_tokens_at_the_rates_of_the_tokens(schedule, steps=4096):
    path, times = UniformNoise(schedule), np.linspace(1.0, 0.0, steps + 1, dtype=np.float32)
    values, num = jnp.arange(len(TOKENS)), len(TOKENS)
    log_probs = jnp.log(jnp.asarray(TOKENS, jnp.float32))

    def transition(t, s):
        told = jax.nn.log_softmax(log_probs + path.log_likelihood(values, t, num))
        return path.log_posterior(values, told, t, s)

    log_posterior = jax.jit(jax.vmap(transition))(times[:-1], times[1:])
    posterior = np.exp(np.asarray(log_posterior, np.float64))
    share = np.full(num, 1 / num)
    for step in posterior / posterior.sum(-1, keepdims=True):
        share = share @ step
    np.testing.assert_allclose(share, TOKENS, rtol=0.02)


@pytest.mark.full
@pytest.mark.parametrize('path', [Masking(), UniformNoise()], ids=['masks', 'noise'])
@pytest.mark.parametrize(('steps', 'rate', 'num'), [(64, 1e-5, 2**16), (1000, 1e-4, 2**13)])
def test_samplers_draw_rare_tokens_at_their_rates(path, steps, rate, num, rare=63):
    """63 tokens of the same rate: 41 or 52 of them are expected."""
    tokens = jnp.log(jnp.asarray([1 - rare * rate, *[rate] * rare], jnp.float32))

    def predict(x, t):
        return jax.nn.log_softmax(tokens + path.log_likelihood(x, t, rare + 1))

    @jax.jit
    def count(key):
        noise_key, key = jax.random.split(key)
        x = path.stationary(noise_key, (num,), rare + 1)
        x = DiscreteAncestral()(predict, path, jnp.linspace(1.0, 0.0, steps + 1), x, key)
        return jnp.sum(x > 0)

    assert 1e-3 < scipy.stats.poisson(num * rare * rate).cdf(int(count(KEY))) < 1 - 1e-3


def test_models_draw_by_these_functions_alone():
    """JAX's own draws, by float32 Gumbel-max or comparison, lose rare values."""
    folder = Path(genjax.models.__file__).parent
    for path in folder.rglob('*.py'):
        found = re.search(r'random\.(categorical|logistic|choice)\(', path.read_text('utf-8'))
        assert path.name == 'draws.py' or found is None, path
