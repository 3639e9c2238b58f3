"""Temperature, top-k and top-p against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GPT
from genjax.models.autoregressive import TokenSampling
from genjax.models.autoregressive.decoding import filter_logits, keep_top_k, keep_top_p
from genjax.models.diffusion import Confidence, MaskGITSampling
from genjax.networks import Transformer
from tests.models.spread import KEY, variables_of

pytestmark = pytest.mark.slow

NETWORK = Transformer((16,), 2, features=8, num_layers=1, num_heads=2)


def _nucleus(logits, p):
    probability = np.exp(logits - np.max(logits))
    probability /= probability.sum()
    order = np.argsort(-probability)
    size = int(np.searchsorted(np.cumsum(probability[order]), p)) + 1
    kept = np.full(len(logits), -np.inf)
    kept[order[:size]] = logits[order[:size]]
    return kept


@pytest.mark.parametrize('p', [0.0, 0.2, 0.55, 0.9, 1.0])
def test_top_p_against_its_definition(p):
    logits = np.asarray(2 * jax.random.normal(KEY, (20, 9)))
    want = np.stack([_nucleus(row, min(p, 0.999999)) for row in logits])
    np.testing.assert_array_equal(keep_top_p(jnp.asarray(logits), p), want)


@pytest.mark.parametrize('k', [1, 3, 9, 50])
def test_top_k_against_its_definition(k):
    logits = np.asarray(jax.random.normal(KEY, (20, 9)))
    rank = np.argsort(np.argsort(-logits, axis=-1), axis=-1)
    np.testing.assert_array_equal(
        keep_top_k(jnp.asarray(logits), k), np.where(rank < k, logits, -np.inf)
    )


def test_filters_come_one_after_the_other():
    logits = jnp.log(jnp.array([0.5, 0.25, 0.15, 0.1]))
    got = filter_logits(logits, 0.5, top_k=3, top_p=0.9)
    assert np.isfinite(np.asarray(got)).tolist() == [True, True, False, False]
    np.testing.assert_allclose(got[:2], 2 * logits[:2], rtol=1e-6)
    model = GPT(NETWORK, sampling=TokenSampling(top_k=1))
    x = model.sample(variables_of(model), KEY, 4)
    np.testing.assert_array_equal(x, jnp.broadcast_to(x[0], x.shape))


def test_temperatures_down_to_zero_and_options_out_of_range():
    """A temperature of 0 is the limit: the most probable token, whatever the sign of its logit."""
    logits = jnp.array([[-3.0, -1.0, -1.0, -jnp.inf], [2.0, 5.0, 0.0, 4.0]])
    for temperature in (0, 0.0, 1e-45, 1e-38, 1e-30):
        got = jax.nn.softmax(filter_logits(logits, temperature, top_k=3, top_p=0.9))
        np.testing.assert_array_equal(got[1], [0, 1, 0, 0])
        assert got[0, 1] > 0.4 and got[0, 0] == got[0, 3] == 0
    each = jnp.array([[0.0], [1.0]])
    got = filter_logits(logits, each)
    np.testing.assert_array_equal(got, [[-jnp.inf, 0, -jnp.inf, -jnp.inf], logits[1]])
    greedy = GPT(NETWORK, sampling=TokenSampling(0.0))
    variables = variables_of(greedy)
    x = greedy.sample(variables, KEY, 3)
    np.testing.assert_array_equal(
        x, GPT(NETWORK, sampling=TokenSampling(top_k=1)).sample(variables, KEY, 3)
    )
    for options in (
        {'temperature': -1.0}, {'temperature': np.nan}, {'temperature': np.inf}, {'top_k': 0},
        {'top_k': -1}, {'top_p': 0.0}, {'top_p': 1.01}, {'top_p': -0.1}, {'top_p': np.nan},
    ):  # fmt: skip
        (name,) = options
        with pytest.raises(UserError, match=f'TokenSampling.{name} must be'):
            TokenSampling(**options)
        with pytest.raises(UserError, match=f'{name} must be'):
            filter_logits(logits, **options)
    with pytest.raises(UserError, match='temperature must be at least 0'):
        filter_logits(logits, jnp.array([[1.0], [-1.0]]))
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(
            UserError, match=r'MaskGITSampling\.choice_temperature must be at least 0'
        ):
            MaskGITSampling(choice_temperature=value)
        with pytest.raises(UserError, match=r'Confidence\.temperature must be at least 0'):
            Confidence(value)
