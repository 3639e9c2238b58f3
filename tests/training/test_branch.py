"""A new run that begins with the state of another one."""

import json

import jax
import pytest

from genjax.training import loading as runs
from genjax.training import loop
from tests.training import tiny
from tests.training.conftest import assert_same, records, steps_saved

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def origin(tmp_path_factory):
    """A complete run with checkpoints of steps 4 and 6."""
    workdir = tmp_path_factory.mktemp('origin') / 'run@1'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        loop.train(tiny.vae(steps=6, checkpoint_every=4), workdir)
    return workdir


def record_of(workdir):
    return json.loads((workdir / 'config.json').read_text())


def test_an_unchanged_branch_is_the_run_that_was_not_branched(origin, train, workdir, tmp_path):
    status, out, err = train(f'--branch_from={origin}@4', steps=9)
    assert (status, err) == (0, '') and f'branched from step 4 of {origin}' in out
    assert 'begun anew' not in out and 'from step 4 to 9' in out
    assert train(workdir=tmp_path / 'whole', steps=9)[0] == 0
    branched, whole = runs.load(workdir), runs.load(tmp_path / 'whole')
    assert branched.step == whole.step == 9
    assert_same(branched.state, whole.state)
    assert records(workdir) == records(tmp_path / 'whole')[4:]
    branch = record_of(workdir)['branch']
    assert (branch['run'], branch['step'], branch['fresh']) == (str(origin), 4, [])
    assert branch['id'] == record_of(origin)['id']
    # The same command resumes it, and so does the one without the option.
    assert train(f'--branch_from={origin}@4', steps=10)[0] == 0
    assert train(steps=11)[0] == 0
    assert record_of(workdir)['branch'] == branch


def test_what_fits_is_taken_over_and_the_rest_is_named(origin, train, workdir):
    fields = {'model__decoder__features': '(16, 5)', 'ema': '(0.99, 0.5)', 'seed': 3}
    status, out, _ = train(f'--branch_from={origin}', steps=7, dataset__variant=1, **fields)
    assert status == 0 and f'branched from step 6 of {origin}; begun anew: ' in out
    branch = record_of(workdir)['branch']
    assert 'optimizer of vae' in branch['fresh']
    assert any('decoder' in name and name.startswith('params') for name in branch['fresh'])
    assert not any('encoder' in name and name.startswith('params') for name in branch['fresh'])
    old, new = runs.load(origin), runs.load(workdir, '6')

    before, after = old.state.variables['params'], new.state.variables['params']
    assert_same(before['encoder'], after['encoder'])
    assert_same(old.state.ema[1]['encoder'], new.state.ema[0]['encoder'])
    keys = [jax.random.key_data(s.key).tolist() for s in (old.state, new.state)]
    assert keys[0] != keys[1]


@pytest.mark.full
def test_branches_that_cannot_be(origin, train, refused, workdir, tmp_path):
    assert 'no config.json' in refused(f'--branch_from={tmp_path}/nothing')
    assert 'config.steps=6, but the run it branches' in refused(f'--branch_from={origin}', steps=6)
    assert not steps_saved(workdir)
    assert 'has no step 5; it has [4, 6]' in refused(f'--branch_from={origin}@5')
    assert 'no parameter of that run' in refused(f'--branch_from={origin}', family='gan', steps=7)
    assert train(steps=1)[0] == 0
    assert 'has begun already, with no other run' in refused(f'--branch_from={origin}', steps=7)
