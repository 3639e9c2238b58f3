"""Means, intervals and pairs against closed forms and SciPy."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from genjax.reports import report, statistics
from tests.reports import folders


def sweep(folder, values, **kwargs):
    """A trial for each (beta, learning rate, seed) with its test figure."""
    for number, ((beta, rate, seed), value) in enumerate(values.items()):
        changes = {'model.beta': beta, 'optimizer.learning_rate': rate, 'seed': seed}
        folders.trial(folder, number, changes, test={'test_nll/nll': value}, **kwargs)
    return folder


@pytest.mark.parametrize('num', [2, 3, 4, 5, 12, 101])
def test_the_standard_error_and_the_interval_are_those_of_scipy(num):
    x = np.random.default_rng(1).gamma(2.0, size=num)
    found = statistics.estimate(x)
    assert found.n == num
    assert found.mean == pytest.approx(x.mean())
    assert found.stderr == pytest.approx(scipy.stats.sem(x))
    want = scipy.stats.t.interval(0.95, num - 1, x.mean(), scipy.stats.sem(x))
    assert (found.low, found.high) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize('num', [2, 3, 5])
def test_intervals_of_few_seeds_hold_the_mean_as_often_as_they_say(num):
    seeds = np.random.default_rng(0).standard_normal((2000, num))
    found = [statistics.estimate(x) for x in seeds]
    assert np.mean([e.low < 0 < e.high for e in found]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize('values, mean', [([], None), ([5.0], 5.0)])
def test_without_two_seeds_there_is_no_uncertainty(values, mean):
    found = statistics.estimate(values)
    assert found == statistics.Estimate(len(values), mean, None, None, None)


def test_a_seed_that_ran_twice_counts_once(tmp_path):
    for number, (seed, value) in enumerate([(0, 1.0), (0, 3.0), (1, 5.0)]):
        content = folders.config(seed=seed)
        folders.run(tmp_path / str(number), content, test={'test_nll/nll': value}, name=str(number))
    (group,) = report.make(tmp_path, ['test_nll/nll']).groups
    found = statistics.outcome(group, 'test_nll/nll')
    assert found.values == {0: 2.0, 1: 5.0}
    assert (found.estimate.n, found.estimate.mean) == (2, 3.5)


def test_pairs_share_the_seed_and_all_other_fields(tmp_path):
    """Seeds move the figures by far more than the field does: only pairs show its effect."""
    effect = {(0, 0): 1.0, (0, 1): 1.2, (0, 2): 0.8, (1, 0): 2.0, (1, 1): 2.2, (1, 2): 2.4}
    values = {}
    for (place, seed), difference in effect.items():
        rate = (1e-3, 1e-2)[place]
        values[0.5, rate, seed] = 100.0 * seed + 7 * place
        values[4.0, rate, seed] = 100.0 * seed + 7 * place + difference
    made = report.make(sweep(tmp_path, values))
    assert made.by == ['model.beta', 'optimizer.learning_rate']
    mean, *each = statistics.comparisons(made.groups, 'model.beta', 'test_nll/nll')
    assert mean.others is None and (mean.first, mean.second) == (0.5, 4.0)
    assert (mean.pairs, mean.estimate.n) == (6, 3)
    by_seed = [1.5, 1.7, 1.6]
    assert mean.estimate.mean == pytest.approx(np.mean(by_seed))
    assert mean.estimate.stderr == pytest.approx(scipy.stats.sem(by_seed))
    assert [row.others for row in each] == [
        {'optimizer.learning_rate': 1e-3},
        {'optimizer.learning_rate': 1e-2},
    ]
    assert [row.estimate.mean for row in each] == pytest.approx([1.0, 2.2])
    assert all(row.pairs == 3 for row in each)


def test_the_mean_over_other_settings_is_over_seeds_that_have_them_all(tmp_path):
    """With seed 1 at one setting only, a mean that took it would mix up the settings."""
    values = {(b, r, s): 0.0 for b in (0.5, 4.0) for r in (1e-3, 1e-2) for s in (0, 1)}
    values |= {(4.0, 1e-3, s): 1.0 for s in (0, 1)} | {(4.0, 1e-2, s): 9.0 for s in (0, 1)}
    del values[4.0, 1e-2, 1]
    made = report.make(sweep(tmp_path, values))
    mean, *each = statistics.comparisons(made.groups, 'model.beta', 'test_nll/nll')
    assert (mean.estimate.n, mean.estimate.mean, mean.estimate.low) == (1, 5.0, None)
    assert [row.pairs for row in each] == [2, 1]


def test_of_many_settings_each_is_compared_with_the_first(tmp_path):
    betas = [2.0**i for i in range(statistics.ALL_PAIRS + 1)]
    values = {(beta, 1e-3, seed): beta for beta in betas for seed in (0, 1)}
    made = report.make(sweep(tmp_path, values))
    found = statistics.comparisons(made.groups, 'model.beta', 'test_nll/nll')
    assert [(c.first, c.second) for c in found] == [(1.0, beta) for beta in betas[1:]]


def test_what_is_not_in_a_mean_is_named(tmp_path):
    for number, (result, test) in enumerate(
        [
            (('complete', ''), {'test_nll/nll': 1.0}),
            (('complete', ''), {'test_nll/nll': float('nan')}),
            (('complete', ''), None),
            (('failed', 'step 3: the loss is nan'), None),
            (('stopped', ''), {'test_nll/nll': 8.0}),
            (None, None),
            ('', None),
        ]
    ):
        folders.trial(tmp_path, number, {'seed': number}, test=test, result=result)
    (group,) = report.make(tmp_path).groups
    found = statistics.outcome(group, 'test_nll/nll')
    assert found.values == {0: 1.0}
    assert [(trial.seed, why) for trial, why in found.missing] == [
        (1, 'not finite'),
        (2, 'not measured'),
        (3, 'failed'),
        (4, 'stopped'),
        (5, 'unfinished'),
        (6, 'not begun'),
    ]


def test_settings_are_sorted_by_size(tmp_path):
    values = {(beta, 1e-3, 0): 0.0 for beta in (10.0, 2.0, 0.5)}
    groups = report.make(sweep(tmp_path, values)).groups
    assert [group.settings['model.beta'] for group in groups] == [0.5, 2.0, 10.0]


def test_many_values_are_compared_with_the_first_in_little_memory():
    """All pairs of 3,000 values would be 4.5 million."""
    trials = [
        SimpleNamespace(seed=0, status='complete', results={'a': 2.0 * i}) for i in range(3000)
    ]
    groups = [statistics.Group({'rate': i}, [trial]) for i, trial in enumerate(trials)]
    tracemalloc.start()
    found = statistics.comparisons(groups, 'rate', 'a')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(c.first, c.second, c.estimate.mean) for c in found] == [
        (0, i, 2.0 * i) for i in range(1, 3000)
    ]
    assert peak < 30e6
