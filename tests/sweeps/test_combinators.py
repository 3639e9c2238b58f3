import itertools
import random

import pytest

from genjax.errors import UserError
from genjax.sweeps import combinators


def draws(number):
    """Random lists of values, so many at a time."""
    source = random.Random(0)
    rows = [[source.choices(range(10), k=source.randint(1, 4)) for _ in 'abc'] for _ in range(20)]
    return [row[:number] for row in rows]


@pytest.mark.parametrize(('a', 'b', 'c'), draws(3))
def test_product_is_that_of_itertools(a, b, c):
    found = combinators.product({'x.a': a, 'b': b}, c=c)
    assert [tuple(row.values()) for row in found] == list(itertools.product(a, b, c))
    assert all(list(row) == ['x.a', 'b', 'c'] for row in found)


@pytest.mark.parametrize(('a', 'b'), draws(2))
def test_words_nest(a, b):
    pairs = combinators.zip(combinators.chain(a=a), combinators.product(b=a))
    assert pairs == [{'a': v, 'b': v} for v in a]
    assert combinators.chain(pairs, {'c': b}) == [*pairs, *({'c': v} for v in b)]
    assert len(combinators.product(pairs, combinators.seeds(3))) == 3 * len(a)


@pytest.mark.parametrize(('num', 'seed'), [(1, 0), (7, 0), (7, 1), (20, 2)])
def test_a_subsample_is_some_trials_in_their_order(num, seed):
    everything = combinators.seeds(20)
    found = combinators.subsample(everything, num, seed)
    assert len(found) == num and found == combinators.subsample(everything, num, seed)
    positions = [everything.index(row) for row in found]
    assert positions == sorted(set(positions))


def test_every_trial_is_equally_likely_to_be_chosen():
    counts = [0] * 6
    for seed in range(600):
        for row in combinators.subsample(combinators.seeds(6), 2, seed):
            counts[row['seed']] += 1
    assert sum((c - 200) ** 2 / 200 for c in counts) < 20.5  # chi-square, 5 degrees, p = .001


def test_text_says_the_same():
    text = 'chain(product(model.beta=[.5, 1], preprocess.steps[1].alpha=(0, 1)), zip(seeds(2)))'
    assert combinators.parse(text) == combinators.chain(
        combinators.product({'model.beta': [0.5, 1], 'preprocess.steps[1].alpha': (0, 1)}),
        combinators.seeds(2),
    )
    text = "subsample(product(kind=['a=b', 'c'], seed=range(1, 4)), num=2, seed=5)"
    assert combinators.parse(text) == combinators.subsample(
        combinators.product(kind=['a=b', 'c'], seed=range(1, 4)), num=2, seed=5
    )


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('prodct(seed=[1])', r"no word 'prodct'; did you mean 'product'\?"),
        ('product(seed=3)', 'seed needs a list of values, not 3'),
        ('zip(a=[1, 2], b=[1])', r'one length, not \[2, 1\]'),
        ('product(a=[1], b.a=[1]', 'cannot read the sweep'),
        ('product(seeds(2), seed=[1])', 'a trial sets seed twice'),
        ('subsample(seeds(2), 3)', 'cannot subsample 3 of 2'),
        ('range(3)', 'a sweep begins with one of product'),
        ('product(seed=[open("x")])', 'cannot read the sweep'),
        ('seeds("x")', 'cannot read the sweep'),
    ],
)
def test_text_that_is_no_sweep_is_refused(text, line):
    with pytest.raises(UserError, match=line):
        combinators.parse(text)
