"""Run folders on Google Cloud Storage and S3, played by emulators."""

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import time
import uuid

import jax
import numpy as np
import pytest

import genjax as library
from genjax.errors import CannotWrite, RunLocked, UserError
from genjax.files import as_path, check_owned, digests, exclusive, replacing
from genjax.records import TIMES
from genjax.training import orbax_s3
from genjax.training.checkpoints import steps_in
from tests.training.conftest import arguments
from tests.training.emulator import MARKS, S3, S3_FIRST

RUN = {'family': 'eventful', 'steps': 8, 'checkpoint_every': 2, 'sample_every': 4}
pytestmark = MARKS


@pytest.fixture
def faults(store):
    return store.faults


@pytest.fixture
def workdir(store):
    return as_path(f'{store.prefix}bucket/{uuid.uuid4().hex}')


@pytest.fixture
def fast(monkeypatch):
    """Leases that expire within a second, and little patience with a store that fails."""
    from genjax.files import lease  # with the environment of the fixture

    monkeypatch.setattr(lease, 'BEAT', 0.1)
    monkeypatch.setattr(lease, 'EXPIRY', 1.0)
    monkeypatch.setattr('genjax.files.store_path.PATIENCE', 1.0)
    monkeypatch.setattr('genjax.files.store_path.TIMEOUT', 0.5)
    return lease


def state(workdir):
    run = library.load(workdir, step='latest')
    return run.step, [np.asarray(x) for x in jax.tree.leaves(run.state.variables)]


def same(workdir, other):
    (step, arrays), (at, others) = state(workdir), state(other)
    return step == at and all(map(np.array_equal, arrays, others))


def recorded(workdir):
    records = library.load(workdir, step='latest').metrics()
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def owned_by(path, machine, process):
    """Writes the lease of another process."""
    content = {'owner': f'{process} on elsewhere', 'id': 'other', 'process': [machine, process]}
    path.write(json.dumps(content).encode())


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    """The folder, here, of the run that those in the store are compared with."""
    from genjax import cli

    workdir = tmp_path_factory.mktemp('runs') / 'run'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        assert cli.main(arguments(workdir, **RUN)) == 0
    return workdir


@pytest.mark.full
def test_a_run_in_a_store_is_that_in_a_folder(genjax, workdir, tmp_path):
    here = tmp_path / 'run'
    for folder in (workdir, here):
        assert genjax(*arguments(folder, **RUN | {'steps': 4}))[0] == 0
        status, out, _ = genjax(*arguments(folder, **RUN))
        assert status == 0 and 'from step 4 to 8' in out
    assert same(workdir, here)
    assert recorded(workdir) == recorded(here)
    for kind in ('samples', 'reconstructions'):
        for name in names(here / kind):
            assert (here / kind / name).read_bytes() == (workdir / kind / name).read_bytes()
    assert {'.lock', 'damaged_checkpoints'}.isdisjoint(names(workdir))
    assert 'is complete' in genjax(*arguments(workdir, **RUN))[1]

    for folder in (workdir, here):
        out = tmp_path / f'{folder.name}.npz'
        assert genjax('sample', f'--workdir={folder}', '--num=3', f'--out={out}')[0] == 0
        words = ('evaluate', f'--workdir={folder}', '--evals=@genjax.evaluation.Likelihood')
        assert genjax(*words)[0] == 0
    x = [np.load(tmp_path / f'{f.name}.npz')['arr_0'] for f in (workdir, here)]
    assert np.array_equal(*x)
    evals = [
        json.loads((f / 'evaluations' / '8.json').read_text())['evals']['test_likelihood']
        for f in (workdir, here)
    ]
    assert evals[0]['results'] == evals[1]['results']


@S3_FIRST
def test_a_killed_run_resumes_bit_for_bit(
    processes, store, genjax, workdir, uninterrupted, tmp_path
):
    log = tmp_path / 'log'
    words = arguments(workdir, **RUN)
    child = processes.start(words, log, environment=store.variables)
    deadline = time.monotonic() + 60
    while not steps_in(workdir / 'checkpoints'):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    processes.wait()
    assert (workdir / '.lock').exists()
    status, _, err = genjax(*words)
    assert status == 0 and 'ended without releasing' in err
    assert same(workdir, uninterrupted)
    assert recorded(workdir) == recorded(uninterrupted)


def test_a_second_owner_is_refused_in_a_line_that_names_the_first(workdir, fast, genjax):
    with exclusive(workdir / '.lock', 'busy'):
        status, _, err = genjax(*arguments(workdir))
        assert status == 73
        assert err.splitlines()[-1] == (
            f'genjax: error: another run (process {os.getpid()} on {socket.gethostname()}) is'
            f' training in {workdir}'
        )
        assert names(workdir) == ['.lock']
    assert not workdir.exists()


def test_what_waits_for_a_lease_gets_it(workdir, fast):
    with exclusive(workdir / 'evaluations' / '.lock'):
        pass
    owned_by(workdir / 'evaluations' / '.lock', '', 1)
    began = time.monotonic()
    with exclusive(workdir / 'evaluations' / '.lock'):
        assert time.monotonic() - began >= fast.EXPIRY


def test_an_expired_lease_is_taken_over(workdir, fast, caplog):
    owned_by(workdir / '.lock', 'another machine', os.getpid())
    began = time.monotonic()
    with exclusive(workdir / '.lock', 'busy'):
        assert time.monotonic() - began >= fast.EXPIRY
        assert 'elsewhere ended without releasing' in caplog.text


def test_the_lease_of_a_process_that_ended_on_this_machine_is_taken_at_once(workdir):
    from genjax.files import lease

    child = subprocess.Popen(['true'])
    child.wait()
    owned_by(workdir / '.lock', lease._machine(), child.pid)
    began = time.monotonic()
    with exclusive(workdir / '.lock', 'busy'):
        assert time.monotonic() - began < lease.BEAT


def test_one_of_many_that_race_for_an_expired_lease_gets_it(workdir, fast):
    from concurrent.futures import ThreadPoolExecutor

    owned_by(workdir / '.lock', 'another machine', 1)
    inside = []

    def enter(_):
        try:
            with exclusive(workdir / '.lock', '{owner}'):
                inside.append(1)
                time.sleep(2)
        except RunLocked:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(enter, range(6))) == 1


def test_who_lost_a_lease_writes_no_more(workdir, fast):
    with exclusive(workdir / '.lock', 'busy'):
        with replacing(workdir / 'a.json') as file:
            file.write_text('ours')
        owned_by(workdir / '.lock', 'another machine', 7)
        time.sleep(1)
        with (
            pytest.raises(RunLocked, match='taken over by process 7 on elsewhere'),
            replacing(workdir / 'a.json') as file,
        ):
            file.write_text('too late')
    assert (workdir / 'a.json').read_text() == 'ours'
    assert names(workdir) == ['.lock', 'a.json']  # the other's lock is left


def test_a_lease_is_kept_while_answers_are_lost(workdir, fast, store, monkeypatch):
    monkeypatch.setattr('genjax.files.store_path.TIMEOUT', 5.0)  # also on a busy machine
    monkeypatch.setattr(fast, 'EXPIRY', 2.0)
    count = itertools.count()

    def failing(method, path):
        return 'lost' if method == store.uploading and next(count) % 3 == 0 else None

    with store.faults.of(failing), exclusive(workdir / '.lock', 'busy'):
        time.sleep(3)
        check_owned(workdir / 'a.json')
    assert store.faults.seen > 5
    assert not workdir.exists()


def test_a_lease_that_cannot_be_renewed_is_lost(workdir, fast, store):
    with (
        exclusive(workdir / '.lock', 'busy'),
        store.faults.of(lambda method, path: 503 if method == store.uploading else None),
    ):
        time.sleep(1.5)
        with pytest.raises(RunLocked, match='could not be renewed'):
            check_owned(workdir / 'a.json')


@S3
def test_a_server_without_conditional_writes_is_refused(workdir, store, monkeypatch):
    monkeypatch.setattr(store.faults, 'unconditional', True)
    with pytest.raises(UserError, match='ignores the conditions of writes'):
        exclusive(workdir / '.lock', 'busy').__enter__()


def test_a_store_that_refuses_is_one_line(genjax, workdir, faults):
    with faults.of(lambda method, path: 403):
        for words in (arguments(workdir), ('report', workdir)):
            status, _, err = genjax(*words)
            assert status == 2 and err.startswith('genjax: error: ') and err.count('\n') == 1
            assert 'None' not in err


@S3
def test_tensorstore_finds_the_keys_of_a_profile(workdir, tmp_path, monkeypatch):
    import botocore.session
    import tensorstore

    from genjax.files import s3

    keys = 'aws_access_key_id = x\naws_secret_access_key = x\n'
    (tmp_path / 'credentials').write_text(f'[mine]\n{keys}')
    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.setenv('AWS_PROFILE', 'mine')
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(tmp_path / 'credentials'))
    monkeypatch.setattr(s3, '_session', botocore.session.get_session)
    spec = s3.kvstore(f'{workdir}/')
    assert spec['aws_credentials']['type'] == 'profile'
    tensorstore.KvStore.open(spec).result()['a'] = b'written'
    assert (workdir / 'a').read_bytes() == b'written'


@S3
@pytest.mark.full
def test_a_large_file_is_uploaded_in_parts(workdir, monkeypatch):
    monkeypatch.setattr('genjax.files.s3._PART', 1)
    content = bytes(range(256)) * (110 << 12)  # s3fs has parts from 100 MiB on
    with replacing(workdir / 'a') as file:
        file.write_bytes(content)
    assert (workdir / 'a').read_bytes() == content
    ((_, digest),) = digests(workdir)
    assert digest() == hashlib.sha256(content).hexdigest()


@S3
def test_another_orbax_is_refused(store, monkeypatch):
    monkeypatch.delattr('orbax.checkpoint._src.serialization.tensorstore_utils._use_gcs_driver')
    with pytest.raises(UserError, match=r's3:// needs orbax-checkpoint 0\.12; in this one, module'):
        orbax_s3.install.__wrapped__()


@pytest.mark.full
def test_a_store_that_fails_at_times_loses_nothing(genjax, workdir, faults, uninterrupted):
    count = iter(range(10**9))
    with faults.of(lambda method, path: 503 if next(count) % 29 == 7 else None):
        assert genjax(*arguments(workdir, **RUN))[0] == 0
    assert faults.seen > 5
    assert same(workdir, uninterrupted)
    assert recorded(workdir) == recorded(uninterrupted)


@pytest.mark.parametrize('fault', [503, 'hang'])
def test_a_store_that_fails_for_long_is_one_line(workdir, fast, store, fault):
    with replacing(workdir / 'a.json') as file:
        file.write_text('old')
    with (
        store.faults.of(lambda method, path: fault if method == store.uploading else None),
        pytest.raises(CannotWrite, match=r'cannot write ..://bucket/.*a\.json: ') as raised,
        replacing(workdir / 'a.json') as file,
    ):
        file.write_text('new')
    assert '\n' not in str(raised.value)
    assert (workdir / 'a.json').read_text() == 'old'


@pytest.mark.parametrize('damage', [pytest.param('changed', marks=pytest.mark.full), 'missing'])
def test_a_damaged_checkpoint_is_set_aside(damage, genjax, workdir):
    assert genjax(*arguments(workdir, steps=2, checkpoint_every=1))[0] == 0
    (data, *_) = (workdir / 'checkpoints' / '2' / 'state' / 'd').iterdir()
    if damage == 'missing':
        data.unlink()
    else:
        data.write_bytes(bytes(len(data.read_bytes())))
    status, out, err = genjax(*arguments(workdir, steps=3))
    assert status == 0 and 'from step 1 to 3' in out
    assert 'the checkpoint of step 2 is damaged' in err
    (aside,) = (workdir / 'damaged_checkpoints').iterdir()
    assert aside.name.startswith('2-') and (aside / 'state').is_dir()
    assert steps_in(workdir / 'checkpoints') == [1, 3]


def test_what_a_store_cannot_do_is_one_line(genjax, store, workdir, tmp_path):
    for words, line in (
        (arguments(f'{store.prefix}bucket'), 'names no folder of a bucket'),
        (arguments(f'{store.prefix}bucket/a*'), "'*' cannot be in the name"),
        (arguments(workdir, profile='(1,2)'), 'config.profile needs a --workdir of this machine'),
        (['sample', f'--workdir={workdir}', f'--out={tmp_path}/a.png'], 'is not the folder of a'),
    ):
        status, _, err = genjax(*words)
        assert status == 2 and line in err.splitlines()[-1]
    assert not workdir.exists()
