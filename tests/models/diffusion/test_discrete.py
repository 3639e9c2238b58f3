"""Diffusion of tokens and bits, against products of transition matrices and whole chains
enumerated in double precision.
"""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.errors import UserError
from genjax.models import MDLM, DiscreteDiffusion
from genjax.models.diffusion import Confidence, DiscreteSampling, Masking, UniformNoise
from genjax.models.diffusion.discrete_paths import log_one_hot
from genjax.networks import TimeMLP, Transformer
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
SCHEDULES = {
    'linear': lambda t: 1 - t,
    'cosine': lambda t: np.cos(np.pi * t / 2) ** 2,
    'sine': lambda t: 1 - np.sin(np.pi * t / 2),
}
PATHS = [kind(schedule) for kind in (UniformNoise, Masking) for schedule in SCHEDULES]
PATH = pytest.mark.parametrize('path', PATHS, ids=lambda p: f'{type(p).__name__}-{p.schedule}')


def states(num_values, length):
    return np.array(list(itertools.product(range(num_values), repeat=length)))


# Three bits, and two tokens of three values: the probability of each state.
SHARES = {
    2: np.random.RandomState(0).dirichlet(np.ones(8)),
    3: np.random.RandomState(1).dirichlet(np.ones(9)),
}
STATES = {2: states(2, 3), 3: states(3, 2)}


class Exact(nn.Module):
    """What an element is given the others' noisy values, by Bayes' rule over all states.

    A `sharpness` other than 1 makes it wrong.
    """

    shape: tuple[int, ...]
    vocab_size: int | None
    along: object
    sharpness: float = 1.0

    def __call__(self, x, time):
        num_values = self.vocab_size or 2
        every = jnp.asarray(STATES[num_values])
        t = time[:, None]
        told = self.along.log_likelihood(x.astype(jnp.int32), t, num_values)
        told = jnp.stack([told[:, d, every[:, d]] for d in range(every.shape[1])])
        logits = []
        for d in range(len(told)):
            others = jnp.delete(told, d, axis=0).sum(0) + jnp.log(SHARES[num_values])
            of_value = every[:, d] == jnp.arange(num_values)[:, None]
            of_value = jnp.where(of_value, others[:, None], -jnp.inf)
            logits.append(jax.nn.logsumexp(of_value, axis=-1))
        logits = self.sharpness * jnp.stack(logits, axis=1)
        return logits if self.vocab_size else logits[..., 1] - logits[..., 0]


def exact_model(path, num_values=3, **fields):
    shape = STATES[num_values].shape[1:]
    sharpness = fields.pop('sharpness', 1.0)
    network = Exact(shape, num_values if num_values > 2 else None, path, sharpness)
    return DiscreteDiffusion(network, path, **fields)


NOTHING = {'params': {'network': {}}, 'state': {}}


def matrix(path, kept, num_values=3):
    """D3PM's transition matrix where a value is kept with this probability: [from, to]."""
    if isinstance(path, UniformNoise):
        return kept * np.eye(num_values) + (1 - kept) / num_values
    to_mask = np.zeros((num_values + 1, num_values + 1))
    to_mask[:, -1] = 1 - kept
    return kept * np.eye(num_values + 1) + to_mask


def chain(path, num, num_values=3):
    """The times 0 = t_0 < … < t_num = 1, the matrices from each to the next, and their products
    from 0 to each.
    """
    times = np.linspace(0, 1, num + 1)
    alphas = SCHEDULES[path.schedule](times)
    steps = [matrix(path, b / a, num_values) for a, b in itertools.pairwise(alphas)]
    identity = np.eye(len(steps[0]))
    return times, steps, list(itertools.accumulate([identity, *steps], np.matmul))


def posteriors(path, num, num_values=3):
    """q(x_s | x_t, x) of each step as [x, x_t, x_s]; 0 where x_t cannot come of x."""
    _, steps, products = chain(path, num, num_values)
    result = []
    for i, step in enumerate(steps):
        joint = products[i][:num_values, None, :] * step.T[None]
        total = joint.sum(-1, keepdims=True)
        result.append(np.divide(joint, total, out=np.zeros_like(joint), where=total > 0))
    return result


@PATH
def test_noise_and_posterior_are_products_of_transition_matrices(path):
    times, _, products = chain(path, 5)
    for i, want in enumerate(posteriors(path, 5)):
        s, t = jnp.float32(times[i]), jnp.float32(times[i + 1])
        clean, noisy = (a.ravel() for a in np.indices(want.shape[:2]))
        possible = products[i + 1][clean, noisy] > 1e-12
        log_posterior = path.log_posterior(
            jnp.asarray(noisy), log_one_hot(jnp.asarray(clean), 3), t, s
        )
        got = np.exp(np.asarray(log_posterior))[possible]
        np.testing.assert_allclose(got, want[clean, noisy][possible], atol=2e-6)
        told = np.exp(np.asarray(path.log_likelihood(jnp.arange(want.shape[1]), t, 3)))
        told_want = products[i + 1][:3].T
        if isinstance(path, Masking):
            told_want = np.where(np.arange(4)[:, None] == 3, 1, told_want > 0)
            told = told[: 4 if t < 1 else None]
        if t < 1:
            np.testing.assert_allclose(told, told_want, atol=1e-6)
        x = jnp.repeat(jnp.arange(3), 20_000)
        drawn = np.asarray(path.corrupt(jax.random.fold_in(KEY, i), x, t, 3)).reshape(3, -1)
        shares = [np.bincount(row, minlength=len(products[0])) / 20_000 for row in drawn]
        np.testing.assert_allclose(shares, products[i + 1][:3], atol=0.02)


@PATH
def test_the_reverse_step_is_the_mean_posterior(path):
    times, _, _ = chain(path, 5)
    share = np.random.RandomState(2).dirichlet(np.ones(3), 4)
    for i, posterior in enumerate(posteriors(path, 5)):
        s, t = jnp.float32(times[i]), jnp.float32(times[i + 1])
        if isinstance(path, Masking):
            share[:3] = np.eye(3)
        noisy = jnp.arange(posterior.shape[1])
        log_probs = jnp.log(share[: len(noisy)])
        got = np.exp(np.asarray(path.log_posterior(noisy, log_probs, t, s)))
        want = np.einsum('jx,xjk->jk', share[: len(noisy)], posterior)
        if i == 4 and isinstance(path, Masking):  # nothing is left at time 1 but masks
            got, want = got[3:], want[3:]
        np.testing.assert_allclose(got, want, atol=2e-6)


@PATH
def test_posteriors_are_normalised_and_precise_in_short_steps(path):
    times = np.array([0, 1e-4, 2e-4, 0.5, 0.5001, 0.9998, 0.9999, 1.0])
    alpha = SCHEDULES[path.schedule]
    log_probs = jnp.log(jnp.array([0.5, 0.3, 0.2]))
    noisy = jnp.array(0 if isinstance(path, UniformNoise) else 3)
    for s, t in itertools.pairwise(times):
        got = path.log_posterior(noisy, log_probs, jnp.float32(t), jnp.float32(s))
        assert float(jax.nn.logsumexp(got)) == pytest.approx(0, abs=2e-6)
        s, t = float(jnp.float32(s)), float(jnp.float32(t))
        if isinstance(path, UniformNoise):
            clean = matrix(path, alpha(s)) * matrix(path, alpha(t) / alpha(s))[:, 0]
            want = (np.exp(log_probs) / matrix(path, alpha(t))[:, 0]) @ clean
        else:
            stay = (1 - alpha(s)) / (1 - alpha(t))
            want = np.append((1 - stay) * np.exp(log_probs), stay)
        np.testing.assert_allclose(np.exp(np.asarray(got)), want, rtol=1e-3, atol=1e-7)


@functools.cache
def reverse_chain(path, num, num_values):
    """The exact predictor's p(x_s | x_t) of each step over all states, [x_t, x_s], and all noisy
    states.
    """
    _, _, products = chain(path, num, num_values)
    every, share = STATES[num_values], SHARES[num_values]
    noisy = states(len(products[0]), every.shape[1])
    result = []
    for product, posterior in zip(products[1:], posteriors(path, num, num_values), strict=True):
        joint = share * np.prod(product[every[None], noisy[:, None]], axis=-1)  # [x_t, x]
        total = joint.sum(-1, keepdims=True)
        joint = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
        step = np.ones((len(noisy), len(noisy)))
        for d in range(every.shape[1]):
            marginal = joint @ (every[:, d, None] == np.arange(num_values))  # [x_t, value of x]
            one = np.einsum('jx,xjk->jk', marginal, posterior[:, noisy[:, d]])
            step *= one[:, noisy[:, d]]
        result.append(step)
    return result, noisy


def first_noise(path, noisy, num_values):
    """The distribution of x_1 over all noisy states."""
    if isinstance(path, Masking):
        return np.all(noisy == num_values, axis=-1).astype(float)
    return np.full(len(noisy), 1 / len(noisy))


def bound_of_three_steps(path, num_values):
    """E_q log p(x_0, …, x_3) / q(x_1, …, x_3 | x_0) over all ways of three steps, for each x_0."""
    reverse, noisy = reverse_chain(path, 3, num_values)
    _, steps, _ = chain(path, 3, num_values)
    forward = [np.prod(step[noisy[:, None], noisy[None]], axis=-1) for step in steps]
    last = first_noise(path, noisy, num_values)
    bounds = []
    for x in STATES[num_values]:
        start = np.flatnonzero(np.all(noisy == x, axis=-1))[0]
        q = forward[0][start][:, None, None] * forward[1][:, :, None] * forward[2][None]
        p = reverse[0][:, start][:, None, None] * reverse[1].T[:, :, None] * reverse[2].T[None]
        p = p * last
        bounds.append(np.sum(q[q > 0] * np.log(p[q > 0] / q[q > 0])))
    return np.array(bounds)


def mean_and_error(values):
    """Mean and standard error of [states, draws]."""
    values = np.asarray(values, np.float64)
    return values.mean(-1), values.std(-1) / np.sqrt(values.shape[-1])


CASES = pytest.mark.parametrize(
    ('path', 'num_values'),
    [
        (UniformNoise(), 2),
        full(UniformNoise('cosine'), 3),
        (Masking(), 3),
        full(Masking('sine'), 3),
    ],
    ids=['binomial', 'uniform', 'masking', 'masking-sine'],
)
DRAWS = 4000


def repeated(num_values):
    """Each state DRAWS times, all of them in turn."""
    x = jnp.tile(jnp.asarray(STATES[num_values]), (DRAWS, 1))
    return x.astype('float32' if num_values == 2 else 'int32')


def of_states(values):
    """Mean and standard error for each of the `repeated` states."""
    return mean_and_error(values.reshape(DRAWS, -1).T)


def expected_bound(model, monkeypatch):
    """The bound of the model for each state, with all noisy states in place of random ones."""
    path, num, num_values = model.path, model.chain, model.num_values
    _, _, products = chain(path, num, num_values)
    every = STATES[num_values]
    noisy = states(len(products[0]), every.shape[1])
    likely = [np.prod(product[every[:, None], noisy[None]], axis=-1) for product in products[1:]]
    x = jnp.repeat(jnp.asarray(every), len(noisy), axis=0)
    with monkeypatch.context() as patch:
        tiled = jnp.tile(jnp.asarray(noisy), (len(every), 1))
        patch.setattr(type(path), 'corrupt', lambda *args: tiled)
        values = jax.jit(
            lambda shares: jax.lax.map(
                lambda share: model._bound(NOTHING, x, jnp.full(len(x), share), KEY, None)[0].sum(
                    -1
                ),
                shares,
            )
        )((num - np.arange(num) - 0.5) / num)
    values = np.asarray(values, np.float64).reshape(num, len(every), len(noisy))
    return -np.einsum('txn,txn->x', likely, values) / num


@CASES
def test_bound_and_loss_are_those_of_the_whole_chain(path, num_values, monkeypatch):
    model = exact_model(path, num_values, chain=3, eval_samples=6)
    want = bound_of_three_steps(path, num_values)
    np.testing.assert_allclose(expected_bound(model, monkeypatch), want, atol=2e-5)
    x = repeated(num_values)
    bound = jax.jit(model.log_prob)(NOTHING, x, KEY)
    assert bound.kind == 'lower_bound'
    loss = jax.jit(model.phases[0].loss)(NOTHING, {'x': x}, KEY).values
    for values in (bound.value, -loss):
        mean, error = of_states(values)
        assert np.all(np.abs(mean - want) < 4 * error + 1e-4)
        assert np.all(error < 0.05 * np.abs(want))


@CASES
def test_the_bound_is_tight_for_many_steps(path, num_values, monkeypatch):
    share = SHARES[num_values]
    gaps = [
        share
        @ (np.log(share) - expected_bound(exact_model(path, num_values, chain=num), monkeypatch))
        for num in (2, 8, 200)
    ]
    assert gaps[0] > 2 * gaps[1] > 0.01
    assert 0 < gaps[2] < 0.05 * gaps[1]


@CASES
def test_samples_follow_the_reverse_chain(path, num_values):
    model = exact_model(path, num_values, sampling=DiscreteSampling(steps=3))
    reverse, noisy = reverse_chain(path, 3, num_values)
    want = first_noise(path, noisy, num_values)
    for step in reversed(reverse):
        want = want @ step
    x = jax.jit(model.sample, static_argnums=2)(NOTHING, KEY, 40_000)
    assert follows(x, noisy, want)
    assert np.abs(want[want > 0] - SHARES[num_values]).sum() > 0.03
    assert not follows(x, STATES[num_values], SHARES[num_values])


def follows(x, every, want):
    """Whether a chi-squared test keeps the hypothesis that x [N, D] has this distribution."""
    counts = np.array([np.all(np.asarray(x) == state, axis=-1).sum() for state in every])
    assert counts.sum() == len(x)
    possible = want > 1e-12
    assert not np.any(counts[~possible])
    expected = want[possible] / want[possible].sum() * len(x)
    return scipy.stats.chisquare(counts[possible], expected).pvalue > 1e-3


@pytest.mark.parametrize('sharpness', [full(1.0), 1.7])
def test_masking_in_many_steps_has_the_bound_of_mdlm(sharpness, monkeypatch):
    model = exact_model(Masking('cosine'), sharpness=sharpness, chain=2000)
    want = expected_bound(model, monkeypatch)
    mdlm = MDLM(model.network, eval_samples=16)
    mean, error = of_states(jax.jit(mdlm.log_prob)(NOTHING, repeated(3), KEY).value)
    assert np.all(np.abs(mean - want) < 4 * error + 1e-3 * np.abs(want))
    assert np.all(error < 0.005 * np.abs(want))
    log_share = np.log(SHARES[3])
    if sharpness == 1:
        np.testing.assert_allclose(want, log_share, rtol=1e-3)
    else:
        assert SHARES[3] @ (log_share - want) > 0.05


def test_unmasking_by_confidence_one_token_a_pass():
    share = SHARES[3].reshape(3, 3)
    first, second = share.sum(1), share.sum(0)
    sharpened = np.zeros((3, 3))
    for a, b in itertools.product(range(3), repeat=2):
        drawn = first[a] * second[b]
        if first[a] > second[b]:
            sharpened[a] += drawn * share[a] / first[a]
        else:
            sharpened[:, b] += drawn * share[:, b] / second[b]
    for temperature, want in ((1e6, share), (0.0, sharpened)):
        model = exact_model(Masking(), sampling=DiscreteSampling(Confidence(temperature), 2))
        x = jax.jit(model.sample, static_argnums=2)(NOTHING, KEY, 20_000)
        assert follows(x, STATES[3], want.ravel())
    assert np.abs(sharpened - share).sum() > 0.1


@pytest.mark.full
def test_an_untrained_network_of_bits_knows_the_noise():
    """Its logits are 0, which is right for even bits: the bound is tight in any number of steps."""
    for num in (1, 300):
        model = DiscreteDiffusion(TimeMLP((3, 2), 8, 1), UniformNoise(), num, eval_samples=16)
        x = jax.random.bernoulli(KEY, 0.5, (4000, 3, 2)).astype(jnp.float32)
        variables = model.init(KEY, {'x': x})
        values = jax.jit(model.log_prob)(variables, x, KEY).value
        mean, error = mean_and_error(values)
        assert abs(mean + 6 * np.log(2)) < 4 * error + 1e-4
        assert error < 0.1


def test_mistakes_are_named():
    with pytest.raises(UserError, match='schedule is one of linear, cosine, sine'):
        UniformNoise('quadratic')
    with pytest.raises(UserError, match='masks are tokens'):
        DiscreteDiffusion(TimeMLP((3,)))
    with pytest.raises(UserError, match='causal=False'):
        DiscreteDiffusion(Transformer((3,), 4), UniformNoise())
    with pytest.raises(UserError, match='chain must be at least 1'):
        DiscreteDiffusion(TimeMLP((3,)), UniformNoise(), chain=0)
