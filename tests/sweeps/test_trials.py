import pytest

from genjax import config as configs
from genjax.data import Binarise
from genjax.errors import UserError
from genjax.sweeps import product, seeds, trials
from genjax.sweeps.check import check
from tests.training import tiny


def test_ids_are_those_of_the_configs_whatever_else_is_swept():
    few = trials.trials_of(tiny.vae(), product({'model.beta': [0.5]}, seeds(2)))
    many = trials.trials_of(tiny.vae(), product({'model.beta': [2.0, 0.5]}, seeds(3)))
    ids = {t.id: configs.to_json(t.config) for t in many}
    assert len(ids) == 6
    assert all(ids[t.id] == configs.to_json(t.config) for t in few)


def test_a_trial_has_its_changes_and_nothing_else():
    base = tiny.vae()
    for trial in trials.trials_of(base, product({'model.beta': [0.5, 2.0]}, seeds(2, first=3))):
        differing = {
            path: value
            for (path, value), (_, before) in zip(
                configs.leaves(trial.config), configs.leaves(base), strict=True
            )
            if value != before
        }
        assert differing == trial.changes


@pytest.mark.parametrize(
    ('sweep', 'line'),
    [
        ({'model.bta': [1.0]}, r"trial 0 \(model.bta=1.0\).*no field.*did you mean 'model.beta'"),
        ({'model.beta': [1.0, 'x']}, r"trial 1 \(model.beta=x\).*'x' is not of type float"),
        ({'seed': [1, 2, 1]}, r'trials 0 and 2 \(seed=1\) are the same'),
        ({'seed': []}, 'no trials'),
    ],
)
def test_what_does_not_fit_is_named(sweep, line):
    with pytest.raises(UserError, match=line):
        trials.trials_of(tiny.vae(), product(sweep))


@pytest.mark.parametrize('sweep', [None, {'seed': [1, 2]}, [{'seed': 1}, 3]])
def test_what_is_no_sweep_is_refused(sweep):
    with pytest.raises(UserError, match=r'sweep\(\) must return product'):
        trials.trials_of(tiny.vae(), sweep)


@pytest.mark.parametrize(
    ('sweep', 'line'),
    [
        ({'model.latent_dim': [2, 0]}, r'trial 1 \(model.latent_dim=0\).*at least 1'),
        ({'model.decoder.shape': [(3, 3, 1)]}, r'trial 0 \(model.decoder.shape=\(3, 3, 1\)\)'),
        ({'accumulate': [1, 7]}, r'trial 1 \(accumulate=7\).*not a multiple'),
    ],
)
def test_what_cannot_run_is_named_before_anything_starts(sweep, line):
    with pytest.raises(UserError, match=line):
        check(trials.trials_of(tiny.vae(), product(sweep)))


def test_a_preprocessing_that_does_not_fit_the_data_is_named(monkeypatch):
    def check_(self, dataset):
        raise UserError(f'not for {type(dataset).__name__}')

    monkeypatch.setattr(Binarise, 'check', check_, raising=False)
    with pytest.raises(UserError, match=r'trial 0 \(seed=0\): not for Blots'):
        check(trials.trials_of(tiny.vae(), seeds(1)))
