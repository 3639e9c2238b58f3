"""Checkpoints: which are kept, and what happens to damaged ones and on a full disk."""

import builtins
import contextlib
import errno
import gc
import io
import json
import os
import shutil
import signal
import subprocess

import jax
import jax.numpy as jnp
import pytest

from genjax.errors import Interrupted, UserError
from genjax.parallel.preemption import Preemption
from genjax.training import checksums
from genjax.training.checkpoints import Checkpoints
from genjax.training.state import TrainState
from tests.tiers import few, full
from tests.training.conftest import (
    arguments,
    assert_same,
    records,
    state_of,
    steps_saved,
    the_line,
)

pytestmark = pytest.mark.slow

EVALUATED = 'moved/moved'
WITH_FIGURES = {
    'checkpoint_every': 4,
    'evals': '{"moved": @tests.training.tiny.Moved, "end": @tests.training.tiny.Moved}',
    'evals__moved__split': 'validation',
    'evals__moved__every': 4,
    'best': 'moved',
}


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_a_checkpoint_with_a_number_that_is_not_finite_is_never_taken(tmp_path, bad):
    good = {'a': {'w': jnp.ones(3), 'n': jnp.arange(2)}, 'moments': jnp.ones(2)}
    torn = {**good, 'moments': jnp.array([1.0, bad])}
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        checkpoints.save(1, good)
        checkpoints.wait()
        checkpoints.save(2, torn)
    with Checkpoints(tmp_path / 'checkpoints', finite=True) as checkpoints:
        step, state = checkpoints.restore(jax.eval_shape(lambda: good))
        assert step == 1 and checkpoints.steps == [1]
        assert_same(state, good)
        with pytest.raises(UserError, match='step 3: moments is not finite, and is not saved'):
            checkpoints.save(3, torn)
    assert [p.name[:2] for p in (tmp_path / 'damaged_checkpoints').iterdir()] == ['2-']


def test_a_checkpoint_from_before_states_were_averaged_is_read(tmp_path):
    state = {'net': {'mean': jnp.arange(3.0)}}
    saved = {
        'step': jnp.int32(7),
        'variables': {'params': {'net': {'w': jnp.ones(3)}}, 'state': state},
        'opt_state': {'phase': jnp.zeros(2)},
        'ema': ({'net': {'w': jnp.full(3, 2.0)}},),
        'key': jax.random.key(3),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, saved)
        checkpoints.wait()
        now = TrainState(**saved, ema_state=(state,))
        target = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), now
        )
        step, restored = checkpoints.restore(target)
    assert step == 7
    assert_same(restored, now)


@pytest.mark.parametrize(('mode', 'best'), [('min', 3), ('max', 5)])
def test_the_latest_and_the_best_are_kept(mode, best, tmp_path):
    figures = [4.0, 2.0, 1.0, float('nan'), 9.0, 4.0, None, 5.0]
    with Checkpoints(tmp_path, keep=2, best='nll', best_mode=mode) as checkpoints:
        assert checkpoints.best_step is None
        for step, nll in enumerate(figures, start=1):
            checkpoints.save(step, {'a': jnp.ones(3)}, None if nll is None else {'nll': nll})
            checkpoints.wait()
        assert checkpoints.best_step == best
        assert checkpoints.steps == [best, 7, 8]
    assert sorted(int(p.name) for p in tmp_path.iterdir()) == [best, 7, 8]
    with Checkpoints(tmp_path, keep=2, best='nll', best_mode=mode, read_only=True) as again:
        assert (again.best_step, again.steps) == (best, [best, 7, 8])
    with Checkpoints(tmp_path, read_only=True) as untracked:
        assert untracked.best_step is None


@pytest.mark.full
def test_without_a_best_the_latest_are_kept(train, workdir):
    assert train(checkpoint_every=1, keep=3)[0] == 0
    assert steps_saved(workdir) == [10, 11, 12]


@pytest.mark.parametrize(('mode', 'choose'), [('min', min), full('max', max)])
def test_evaluate_takes_the_best_the_latest_or_a_step(mode, choose, train, genjax, workdir):
    status, out, _ = train(**WITH_FIGURES, best_mode=mode, keep=1)
    figures = {r['step']: r[EVALUATED] for r in records(workdir, EVALUATED)}
    best = choose(figures, key=figures.get)
    assert status == 0 and f'{workdir} step {best} ' in out
    assert steps_saved(workdir) == sorted({best, 12})
    for step in ('best', 'latest', str(best)):
        status, out, err = genjax('evaluate', f'--workdir={workdir}', f'--step={step}')
        want = 12 if step == 'latest' else best
        assert (status, err) == (0, '') and f'step {want}\n' in out
        record = json.loads((workdir / 'evaluations' / f'{want}.json').read_text())
        assert (
            record['step'] == want
            and record['evals']['end']['provenance']['packages']['jax'] == jax.__version__
        )


@pytest.mark.full
def test_best_that_no_eval_gives_is_found_at_the_first_evaluation(refused, train, workdir):
    fields = {**WITH_FIGURES, 'best': 'moved/nll'}
    assert "config.best='moved/nll' is none of moved/moved" in refused(**fields)
    assert steps_saved(workdir) == [4]
    assert train(**WITH_FIGURES)[0] == 0


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _edit(path, before, added):
    content = path.read_text()
    assert before in content
    path.write_text(content.replace(before, before + added))


def _largest(folder):
    return max((p for p in folder.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)


DAMAGES = {
    'one bit of the data': lambda folder: _flip(_largest(folder / 'state')),
    'truncated data': lambda folder: os.truncate(_largest(folder / 'state'), 100),
    'deleted data': lambda folder: _largest(folder / 'state').unlink(),
    'no metadata of arrays': lambda folder: shutil.rmtree(folder / 'state' / 'array_metadatas'),
    'no tree': lambda folder: (folder / 'state' / '_METADATA').unlink(),
    'empty manifest': lambda folder: os.truncate(folder / 'state' / 'manifest.ocdbt', 0),
    'no state': lambda folder: shutil.rmtree(folder / 'state'),
    'no checksums': lambda folder: (folder / 'sha256.json').unlink(),
    'nothing': lambda folder: [shutil.rmtree(folder), folder.mkdir()],
    'emptied checksums': lambda folder: (folder / 'sha256.json').write_text('{}'),
    'checksums of the step alone': lambda f: (f / 'sha256.json').write_text('{"step": 12}'),
    'metadata': lambda folder: _flip(folder / '_CHECKPOINT_METADATA'),
    'window of the metrics': lambda folder: _edit(folder / 'window' / 'metadata', '{', ' '),
    'figures': lambda folder: os.truncate(folder / 'metrics' / 'metrics', 3),
    'other figures': lambda f: _edit(f / 'metrics' / 'metrics', '"moved/moved": ', '1'),
    'no figures': lambda folder: (folder / 'metrics' / 'metrics').unlink(),
}
# What checksums find, what they cannot, and a part that is missing as a whole.
KEPT = ('one bit of the data', 'no checksums', 'no state', 'other figures')


@pytest.fixture(scope='module')
def complete(tmp_path_factory, processes):
    """A complete run with checkpoints of steps 8 and 12."""
    folder = tmp_path_factory.mktemp('complete')
    processes.start(arguments(folder / 'run', **WITH_FIGURES), folder / 'log')
    assert processes.wait() == 0, (folder / 'log').read_text()
    assert steps_saved(folder / 'run') == [8, 12]
    return folder / 'run'


@pytest.fixture
def copy(complete, workdir):
    return shutil.copytree(complete, workdir)


@pytest.mark.parametrize('damage', few(DAMAGES, KEPT))
def test_damaged_checkpoint_is_put_aside_and_the_one_before_used(damage, copy, complete, train):
    damage(copy / 'checkpoints' / '12')
    status, out, err = train(**WITH_FIGURES)
    assert status == 0
    assert 'from step 8 to 12' in out
    assert err.count('\n') == 1 and 'warning: the checkpoint of step 12 is damaged (' in err
    assert steps_saved(copy) == [8, 12]
    assert len(list((copy / 'damaged_checkpoints').iterdir())) == 1
    assert_same(state_of(copy), state_of(complete))
    assert [r['step'] for r in records(copy)] == list(range(1, 13))


def test_a_checkpoint_that_was_renamed_is_not_one_of_that_step(copy, train, genjax):
    (copy / 'checkpoints' / '12').rename(copy / 'checkpoints' / '11')
    message = the_line(*genjax('evaluate', f'--workdir={copy}', '--step=11')[::2])
    assert 'it is the checkpoint of step 12, renamed' in message
    status, out, err = train(**WITH_FIGURES)
    assert status == 0 and 'from step 8 to 12' in out and 'renamed' in err


@pytest.mark.parametrize(
    'file', [full('sha256.json'), 'state/manifest.ocdbt', full('metrics/metrics')]
)
def test_a_file_that_may_not_be_read_is_not_damaged(file, copy, refused, monkeypatch):
    opened = io.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(f'12/{file}'):
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(io, 'open', refuse)
    monkeypatch.setattr(builtins, 'open', refuse)
    message = refused(**WITH_FIGURES)
    assert 'cannot read ' in message and message.endswith(f'12/{file}: Permission denied')
    assert steps_saved(copy) == [8, 12] and not (copy / 'damaged_checkpoints').exists()


def test_a_sound_checkpoint_that_does_not_fit_stays_where_it_is(tmp_path):
    folder = tmp_path / 'checkpoints'
    with Checkpoints(folder) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, {'a': jnp.ones(3 if step == 1 else 4)})
            checkpoints.wait()
        target = {'a': jax.ShapeDtypeStruct((3,), jnp.float32, sharding=jnp.ones(3).sharding)}
        with pytest.raises(UserError, match='whose files are what was saved: ValueError'):
            checkpoints.restore(target)
        assert checkpoints.steps == [1, 2]


def test_a_save_without_what_a_restore_needs_is_none(tmp_path, monkeypatch):
    """Orbax merges what the processes have written, and may find nothing to merge."""
    monkeypatch.setattr(checksums, '_NEEDED', ('state/merged',))
    with (
        pytest.raises(UserError, match=r'cannot save a checkpoint .* not written state/merged'),
        Checkpoints(tmp_path / 'checkpoints') as checkpoints,
    ):
        checkpoints.save(1, {'a': jnp.ones(3)})
        checkpoints.wait()
    assert not (tmp_path / 'checkpoints' / '1').exists()


def test_only_damaged_checkpoints(copy, refused):
    for folder in (copy / 'checkpoints').iterdir():
        DAMAGES['one bit of the data'](folder)
    assert 'no checkpoint in ' in refused(**WITH_FIGURES)
    assert steps_saved(copy) == [8, 12]


def test_commands_that_read_leave_a_damaged_checkpoint_where_it_is(copy, genjax):
    DAMAGES['one bit of the data'](copy / 'checkpoints' / '12')
    status, out, err = genjax('evaluate', f'--workdir={copy}', '--step=latest')
    assert status == 0 and 'step 8\n' in out
    assert err.count('\n') == 1 and 'the checkpoint of step 12 is damaged' in err
    assert steps_saved(copy) == [8, 12] and not (copy / 'damaged_checkpoints').exists()
    message = the_line(*genjax('evaluate', f'--workdir={copy}', '--step=12')[::2])
    assert 'not step 12 in ' in message


def test_commands_that_read_do_not_disturb_a_save(copy, genjax):
    saving = copy / 'checkpoints' / '16.orbax-checkpoint-tmp'
    saving.mkdir()
    assert genjax('sample', f'--workdir={copy}', f'--out={copy}.png')[0] == 0
    assert saving.exists()


def test_reading_a_run_without_the_checkpoint(copy, genjax, tmp_path):
    words = ('evaluate', f'--workdir={copy}')
    assert 'has no step 5; it has [8, 12]' in the_line(*genjax(*words, '--step=5')[::2])
    assert "not 'newest'" in the_line(*genjax(*words, '--step=newest')[::2])
    shutil.rmtree(copy / 'checkpoints')
    assert 'has no checkpoint yet' in the_line(*genjax(*words)[::2])
    assert not (copy / 'checkpoints').exists()


@contextlib.contextmanager
def _mounted(folder, options):
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip('no permission to mount a file system here')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


# Orbax leaves the coroutines of a failed save behind; they are collected in the test itself.
@pytest.mark.filterwarnings('ignore:coroutine .* was never awaited:RuntimeWarning')
@pytest.mark.slow
@pytest.mark.parametrize(
    'kilobytes',
    [8, full(300), full(600), full(1000)],
)
def test_full_disk(kilobytes, train, tmp_path):
    """A run fills the disk with checkpoints; with room again it goes on as if nothing had been."""
    steps = {'steps': 200, 'checkpoint_every': 1}
    with _mounted(tmp_path / 'disk', f'size={kilobytes}k') as disk:
        status, _, err = train(workdir=disk / 'run', keep=200, **steps)
        *warnings, error = err.splitlines(keepends=True)
        message = the_line(status, error)
        assert 'the disk is full' in message or 'No space left on device' in message
        # The save in the background fails as well when another file finds the disk full first.
        assert all('cannot save a checkpoint' in line for line in warnings), err
        saved = steps_saved(disk / 'run')
        subprocess.run(['mount', '-o', 'remount,size=64m', str(disk)], check=True)
        steps['steps'] = (saved or [0])[-1] + 3
        status, out, err = train(workdir=disk / 'run', **steps)
        assert (status, err) == (0, '')
        assert f'from step {(saved or [0])[-1]} to' in out
        train(workdir=tmp_path / 'whole', **steps)
        assert_same(state_of(disk / 'run'), state_of(tmp_path / 'whole'))
        assert records(disk / 'run') == records(tmp_path / 'whole')
    gc.collect()


def test_read_only_file_system(refused, tmp_path):
    with _mounted(tmp_path / 'disk', 'ro,size=1m') as disk:
        assert 'cannot write to --workdir=' in refused(workdir=disk / 'run')


def test_a_restore_that_a_signal_breaks_off_leaves_the_checkpoint_alone(tmp_path, monkeypatch):
    """Orbax turns an interruption into errors of its own."""
    folder = tmp_path / 'checkpoints'
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, {'a': jnp.ones(3)})

    def broken_off(*_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError('cannot schedule new futures')

    monkeypatch.setattr(Checkpoints, '_read', broken_off)
    with (
        pytest.raises(Interrupted, match='SIGTERM'),
        Preemption(),
        Checkpoints(folder) as checkpoints,
    ):
        checkpoints.restore({'a': jnp.ones(3)})
    assert (folder / '1').is_dir()
    assert not (tmp_path / 'damaged_checkpoints').exists()
