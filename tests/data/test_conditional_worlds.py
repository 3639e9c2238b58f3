"""Worlds with contexts: a linear-Gaussian one, and portraits with captions."""

import numpy as np
import pytest
from scipy import stats

from genjax.data import Captioned, ConditionalGaussian
from genjax.data.captioned import WORDS
from genjax.data.toy import conditional
from genjax.errors import UserError


def test_the_density_given_the_context_is_scipys():
    world = ConditionalGaussian(train_size=10)
    rows = world.source('test')[np.arange(10_000)]
    x, context = rows['x'], rows['context']
    found = np.asarray(world.log_prob(x, context), np.float64)
    residual = x - context @ conditional._MATRIX.T
    wanted = stats.multivariate_normal([0, 0], conditional._COVARIANCE).logpdf(residual)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert -found.mean() == pytest.approx(world.entropy, abs=0.03)
    # Without the context, in nats: the mutual information.
    shuffled = ConditionalGaussian(train_size=10, shuffled=True)
    marginal = np.asarray(shuffled.log_prob(x, context), np.float64)
    assert found.mean() - marginal.mean() == pytest.approx(world.information, abs=0.03)
    others = shuffled.source('test')[np.arange(10_000)]
    np.testing.assert_array_equal(others['x'], x)
    np.testing.assert_array_equal(others['context'][1:], context[:-1])


def test_captions_tell_the_people_and_a_tenth_of_them_is_held_out():
    data, people = Captioned(train_size=2000), {}
    for split in ('train', 'validation', 'test'):
        rows = data.source(split)[np.arange(2000)]
        people[split] = Captioned.people(rows['context'])
        np.testing.assert_array_equal(Captioned.read(rows['x'][:50]), people[split][:50])
    told = {split: {tuple(row) for row in rows} for split, rows in people.items()}
    assert not told['test'] & (told['train'] | told['validation'])
    assert len(told['test']) > 200
    # All values of all features are among both.
    for split in ('train', 'test'):
        assert [len(np.unique(column)) for column in people[split].T] == [3, 8, 4, 6, 7]
    context = data.source('train')[np.arange(100)]['context']
    assert len(np.unique(np.argmax(context[:, 0], axis=-1))) > 8  # in random order
    (text,) = Captioned.texts(context[:1])
    assert sorted(map(WORDS.index, text.split(', '))) == sorted(np.argmax(context[0], axis=-1))
    with pytest.raises(UserError, match="no split 'tset'; did you mean 'test'"):
        data.source('tset')
