"""Likelihood as an evaluator, against a model whose answer is known."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from genjax.data import Binarise, Chain, Dequantise, Scale
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, Likelihood
from genjax.evaluation.likelihood import Moments, bits_per_dim, masked_moments
from genjax.models.base import LogProb
from tests.models.zoo import BY_NAME
from tests.tiers import full

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Normal:
    """Independent standard normals; `kind` says what its answer counts as."""

    kind: str = 'exact'

    def log_prob(self, variables, x, key):
        """The exact log-density."""
        del variables, key
        return LogProb(jnp.sum(jax.scipy.stats.norm.logpdf(x), axis=-1), self.kind)


@dataclass(frozen=True)
class Plane:
    """A data set of points."""

    event_shape: tuple[int, ...] = (2,)


def _data(x, preprocess=Chain(()), event_shape=(2,)):  # noqa: B008 (frozen)
    """The rows of x in padded batches, the padding made of nonsense."""

    def batches(size):
        for start in range(0, len(x), size):
            part = x[start : start + size]
            padding = ((0, size - len(part)),) + ((0, 0),) * (x.ndim - 1)
            mask = np.arange(size) < len(part)
            value = np.nan if x.dtype == np.float32 else 200
            yield jax.device_put({'x': np.pad(part, padding, constant_values=value), 'mask': mask})

    return EvaluationData(Plane(event_shape), 'test', batches, preprocess)


@pytest.mark.parametrize('batch_size', [1, 4, 10, 64])
def test_exact_likelihood_whatever_the_batches(batch_size):
    x = np.random.default_rng(0).standard_normal((10, 2)).astype(np.float32) * 2
    figures = Likelihood(batch_size)(Normal(), {}, _data(x), KEY)
    want = -scipy.stats.norm.logpdf(x).sum(-1)
    assert figures['nll'] == pytest.approx(want.mean(), rel=1e-5)
    assert figures['stderr'] == pytest.approx(want.std(ddof=1) / math.sqrt(10), rel=1e-5)
    assert figures['bits_per_dim'] == pytest.approx(want.mean() / 2 / math.log(2), rel=1e-5)
    assert figures['kind'] == 'exact'
    assert figures['protocol'] == 'exact, test (10 examples)'


def test_scaling_enters_with_its_log_determinant():
    """The density of uint8 data under a model of scaled data, in the units of the data."""
    x = np.random.default_rng(0).integers(0, 256, (10, 2)).astype(np.uint8)
    figures = Likelihood(4)(Normal(), {}, _data(x, Chain((Scale(-1.0, 1.0),))), KEY)
    want = -scipy.stats.norm(127.5, 127.5).logpdf(x).sum(-1).mean()
    assert figures['nll'] == pytest.approx(want, rel=1e-5)
    assert figures['kind'] == 'density'
    assert 'no likelihood without Dequantise' in figures['protocol']


@pytest.mark.parametrize(
    ('kind', 'step', 'want'),
    [
        ('exact', Scale(), 'density'),
        ('lower_bound', Scale(), 'density'),
        ('exact', Binarise(), 'exact'),
        ('exact', Dequantise(), 'lower_bound'),
        ('lower_bound', Dequantise(), 'lower_bound'),
        ('estimate', Dequantise(), 'estimate'),
    ],
)
def test_the_kind_of_a_figure_is_never_better_than_its_parts(kind, step, want):
    x = np.zeros((3, 2), np.uint8)
    assert Likelihood(2)(Normal(kind), {}, _data(x, Chain((step,))), KEY)['kind'] == want


@pytest.mark.parametrize(
    ('name', 'x', 'want'),
    [
        ('uniform-box', np.arange(50).reshape(10, 5) % 7, 'density'),
        ('uniform-box', (np.arange(2000).reshape(400, 5) % 256 / np.float32(255)), 'density'),
        ('uniform-box', np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32), 'exact'),
        ('vae-gaussian', np.arange(50).reshape(10, 5) % 7, 'density'),
        ('joint-table', np.zeros((10, 3), np.int32), 'exact'),
        ('made', np.zeros((10, 9), np.uint8), 'exact'),
        full('vae-conv-logistic', np.zeros((2, 9, 10, 2), np.uint8), 'lower_bound'),
    ],
)
def test_a_density_of_discrete_data_is_called_that(name, x, want):
    entry = BY_NAME[name]
    variables = entry.model.init(KEY, {**entry.batch(len(x)), 'x': jnp.asarray(x)})
    data = _data(x, event_shape=x.shape[1:])
    assert Likelihood()(entry.model, variables, data, KEY)['kind'] == want


def test_protocol_of_a_vae_names_its_bound_and_binarisation():
    entry = BY_NAME['vae']
    variables = entry.model.init(KEY, entry.batch())
    x = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)
    data = _data(x, Chain((Binarise(),)), (8, 8, 1))
    figures = Likelihood(3)(entry.model, variables, data, KEY)
    assert figures['protocol'] == 'IWAE-8, Binarise(), test (5 examples)'
    assert figures['kind'] == 'lower_bound'
    assert figures == Likelihood(3)(entry.model, variables, data, KEY)
    assert figures != Likelihood(3)(entry.model, variables, data, jax.random.key(1))


def test_draws_are_averaged_per_example():
    @dataclass(frozen=True)
    class Noisy:
        """Each example's log-probability is its index, with noise that averages out."""

        def log_prob(self, variables, x, key):
            return LogProb(x[:, 0] + jax.random.normal(key, (len(x),)), 'exact')

    x = np.arange(100, dtype=np.float32)[:, None]
    once, often = (Likelihood(50, draws)(Noisy(), {}, _data(x), KEY) for draws in (1, 4000))
    assert often['nll'] == pytest.approx(-49.5, abs=0.01)
    assert once['stderr'] == pytest.approx(often['stderr'], rel=0.02)
    assert often['protocol'] == 'exact, mean of 4000 draws, test (100 examples)'


@pytest.mark.parametrize('field', ['batch_size', 'num_draws'])
def test_mistakes_are_named(field):
    with pytest.raises(UserError, match=field):
        Likelihood(**{field: 0})


def test_one_program_serves_all_batches_variables_and_numbers_of_draws():
    entry = BY_NAME['vae']
    x = np.zeros((10, 8, 8, 1), np.uint8)
    data = _data(x, Chain((Binarise(),)), (8, 8, 1))
    from genjax.evaluation import likelihood

    Likelihood(4)(entry.model, entry.model.init(KEY, entry.batch()), data, KEY)
    compiled = likelihood._one_draw._cache_size()
    variables = entry.model.init(jax.random.key(1), entry.batch())
    Likelihood(4, num_draws=3)(entry.model, variables, data, KEY)
    assert likelihood._one_draw._cache_size() == compiled


def test_no_implicit_transfers():
    x = np.zeros((10, 2), np.float32)
    data = _data(x)
    key = jax.random.key(0)
    Likelihood(4)(Normal(), {}, data, key)
    with jax.transfer_guard('disallow'):
        Likelihood(4)(Normal(), {}, data, key)


def test_a_model_without_likelihood_is_named():
    entry = BY_NAME['gan']
    with pytest.raises(UserError, match=r'Likelihood cannot judge a GAN.*log_prob'):
        Likelihood()(entry.model, {}, _data(np.zeros((2, 2), np.float32)), KEY)


def test_moments_of_parts_are_the_moments_of_the_whole():
    values = np.random.default_rng(0).standard_normal(50) + 1e6
    moments = Moments()
    for part in np.split(values, [3, 3, 20]):
        moments.add(*(float(m) for m in _moments64(part)))
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(50), rel=1e-6)
    assert math.isnan(Moments().standard_error)


def _moments64(values):
    mean = values.mean() if len(values) else 0.0
    return len(values), mean, np.sum((values - mean) ** 2)


def test_masked_moments_ignore_what_is_masked():
    values = jnp.array([1.0, 2.0, jnp.nan, 6.0])
    count, mean, squares = masked_moments(values, jnp.array([True, True, False, True]))
    assert (int(count), float(mean), float(squares)) == (3, 3.0, 14.0)
    assert [float(m) for m in masked_moments(values, jnp.zeros(4, bool))] == [0, 0, 0]


def test_bits_per_dim():
    assert bits_per_dim(math.log(256) * 3, 3) == pytest.approx(8)


@dataclass(frozen=True)
class Shifted:
    """Normal around the label, of two classes, or around 0 without one."""

    num_classes: int = 2

    def log_prob(self, variables, x, key, *, label=None):
        """The exact log-density."""
        centre = 0.0 if label is None else label[:, None]
        return Normal().log_prob(variables, x - centre, key)


def test_labels_are_given_if_asked_for():
    x, label = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32), np.arange(6) % 2
    batch = {'x': x, 'label': label, 'mask': np.ones(6, bool)}
    data = EvaluationData(Plane(), 'test', lambda size: [jax.device_put(batch)], Chain(()))
    for evaluator, centre in (
        (Likelihood(6), 0),
        (Likelihood(6, given_label=True), label[:, None]),
    ):
        results = evaluator(Shifted(), {}, data, KEY)
        want = -scipy.stats.norm.logpdf(x - centre).sum(-1).mean()
        assert results['nll'] == pytest.approx(want, rel=1e-5)
        assert ('labels given' in results['protocol']) == evaluator.given_label
