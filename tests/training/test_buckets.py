"""Commands on folders of a bucket do what they do on a copy of these folders."""

import shutil
import uuid

import numpy as np
import pytest

from genjax.config import spec
from genjax.data import TFDS, Chain, Latents, tfds_store
from genjax.errors import UserError
from genjax.files import as_path, new_folder
from genjax.records import TIMES, metrics
from genjax.sweeps.folder import Folder
from genjax.training import LoadLatents, Start, loop
from genjax.training import loading as runs
from tests.training import tiny
from tests.training.conftest import arguments, assert_same
from tests.training.emulator import MARKS, S3_FIRST
from tests.training.processes import said
from tests.training.stages import second_stage

pytestmark = MARKS
SWEEP = ('sweep', '--config=tests/sweeps/config.py', '--sweep=seeds(2)', '--config.steps=2')


@pytest.fixture
def bucket(store, genjax):
    """A folder of the bucket."""
    return as_path(f'{store.prefix}bucket/{uuid.uuid4().hex}')


def upload(folder, path):
    """Copies a folder of this machine into the bucket."""
    with new_folder(path) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
    return path


def download(path, folder):
    path.download(folder)
    return folder


def everything(source):
    return source[np.arange(len(source))]


def test_a_report_is_that_of_a_copy_of_the_folder(genjax, bucket, tmp_path):
    for seed in (0, 1):
        words = arguments(bucket / f'seed{seed}', seed=seed, steps=2, sample_every=1)
        assert genjax(*words)[0] == 0
    copy = download(bucket, tmp_path / bucket.name)
    for kind in ('md', 'csv', 'html'):
        pages = []
        for folder in (bucket, copy):
            status, out, err = genjax('report', folder, f'--format={kind}', '--metric=vae/loss')
            assert (status, err) == (0, '')
            pages.append(out.replace(str(folder), ''))
        assert pages[0] == pages[1] and 'seed' in pages[0]
    assert pages[0].count('data:image/png') == 2  # samples and reconstructions


def test_what_commands_write_is_written_there_too(genjax, bucket, tmp_path):
    """Samples of all kinds, results and reports: the bytes are those of a file of this machine."""
    assert genjax(*arguments(tmp_path / 'run', steps=2))[0] == 0
    run = f'--workdir={tmp_path / "run"}'
    commands = {
        'grid.png': ('sample', run, '--num=4'),
        'samples.npz': ('sample', run, '--num=4'),
        'results.json': ('evaluate', run, '--evals=@genjax.evaluation.Likelihood'),
        'report.html': ('report', tmp_path / 'run'),
        'images': ('sample', run, '--num=3', '--format=images'),
    }
    for name, words in commands.items():
        for folder in (tmp_path, bucket):
            status, _, err = genjax(*words, f'--out={folder / name}')
            assert (status, err) == (0, ''), name
    download(bucket, tmp_path / 'copy')
    files = [path for path in (tmp_path / 'copy').rglob('*') if path.is_file()]
    assert len(files) == len(commands) - 1 + 3
    for file in files:
        assert file.read_bytes() == (tmp_path / file.relative_to(tmp_path / 'copy')).read_bytes()
    status, _, err = genjax('sample', run, f'--out={bucket / "images"}', '--format=images')
    assert status == 2 and 'images are written to a new or empty folder' in err


def test_a_run_is_audited_and_started_from(genjax, bucket, tmp_path):
    assert genjax(*arguments(bucket / 'run', steps=2))[0] == 0
    copy = download(bucket / 'run', tmp_path / 'copy')
    status, out, err = genjax('audit', bucket / 'run', copy)
    assert (status, err) == (0, '') and str(bucket) in out

    config = tiny.vae(steps=0, start=(spec(Start, path=str(bucket / 'run')),))
    loop.train(config, tmp_path / 'started')
    assert_same(runs.load(tmp_path / 'started').variables, runs.load(copy).variables)
    weights = bucket / 'weights'
    assert genjax('export', f'--workdir={bucket / "run"}', f'--out={weights}')[0] == 0
    for path in (weights, weights / 'model.safetensors'):
        config = tiny.vae(steps=0, start=(spec(Start, path=str(path)),))
        loop.train(config, tmp_path / path.name)
        assert_same(runs.load(tmp_path / path.name).variables, runs.load(copy).variables)


@pytest.mark.full
def test_codes_are_written_and_read(genjax, bucket, trained, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    first = upload(trained, bucket / 'first')
    here, there = tmp_path / 'codes', bucket / 'codes'
    assert genjax('encode', f'--workdir={trained}', f'--out={here}')[0] == 0
    assert genjax('encode', f'--workdir={first}', f'--out={there}')[0] == 0
    for split in ('train', 'test'):
        sources = [Latents(str(path), in_memory=False).source(split) for path in (here, there)]
        assert sources[0].fingerprint == sources[1].fingerprint
        assert_same(*map(everything, sources))
    status, _, err = genjax('encode', f'--workdir={first}', f'--out={there}')
    assert status == 2 and f'{there} is there already' in err

    chain = spec(Chain, steps=(spec(LoadLatents, workdir=str(first)),))
    dataset = spec(Latents, path=str(there))
    loop.train(second_stage(first, dataset=dataset, preprocess=chain), bucket / 'second')
    samples = runs.load(bucket / 'second').sample(3)
    # A copy of all finds what it is made of beside it.
    copy = download(bucket, tmp_path / 'copy')
    bucket.rmtree()
    np.testing.assert_array_equal(runs.load(copy / 'second').sample(3), samples)


def test_data_sets_are_copied_once(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    tfds_store.prepare('digits', str(tmp_path / 'data'))
    upload(tmp_path / 'data', bucket / 'data')
    here = TFDS('digits', data_dir=str(tmp_path / 'data')).source('test')
    for _ in range(2):
        there = TFDS('digits', data_dir=str(bucket / 'data'), in_memory=False).source('test')
        assert_same(everything(here), everything(there))
    (copy,) = (tmp_path / 'cache' / 'genjax' / 'buckets').iterdir()
    assert (copy / 'digits').is_dir()
    monkeypatch.setenv('TFDS_DATA_DIR', str(bucket))
    with pytest.raises(UserError, match=f'there is no folder {bucket}/mnist'):
        TFDS('mnist').source('test')


def numbers(workdir):
    return [(s, {k: v for k, v in m.items() if k not in TIMES}) for s, m in metrics(workdir)]


@S3_FIRST
def test_a_sweep_is_that_in_a_folder(genjax, bucket, tmp_path):
    for folder in (bucket, tmp_path / 'sweep'):
        status, out, err = genjax(*SWEEP, f'--workdir={folder}', '--max_parallel=2')
        assert (status, err) == (0, '') and out.count(': complete') == 2
    sweeps = Folder(bucket), Folder(tmp_path / 'sweep')
    for trial in sweeps[0].trials():
        assert numbers(sweeps[0].workdir(trial)) == numbers(sweeps[1].workdir(trial)) != []
        assert 'from step 0 to 2' in sweeps[0].log(trial).read_text()
    again = genjax(*SWEEP, f'--workdir={bucket}')
    assert again[0] == 0 and '2 of 2 trials are complete already' in again[1]
    assert genjax('report', bucket)[0] == 0


def test_launchers_that_need_a_folder_say_so(genjax, bucket):
    for launcher in ('vectorized', 'slurm'):
        status, _, err = genjax(*SWEEP, f'--workdir={bucket}', f'--launcher={launcher}')
        assert status == 2 and err.startswith(f'genjax: error: --launcher={launcher} needs')
        assert err.count('\n') == 1
    status, out, _ = genjax(*SWEEP, f'--workdir={bucket}', '--launcher=print')
    assert status == 0 and out.count(f' run_trial {bucket} ') == 2


@pytest.mark.full
def test_several_processes_train_and_go_on_as_one(genjax, processes, store, bucket, tmp_path):
    log, variables = tmp_path / 'log', store.variables | {'WATCHED': str(tmp_path)}
    for folder, count, steps in ((bucket, 2, 2), (bucket, 2, 4), (tmp_path / 'one', 1, 4)):
        words = arguments(folder, family='elastic', steps=steps)
        children = processes.start_together(count, words, log, 1, variables)
        assert [processes.wait(child) for child in children] == [0] * count, said(f'{log}.0')
    folders = bucket, tmp_path / 'one'
    losses = [[m['vae/loss'] for _, m in metrics(x) if 'vae/loss' in m] for x in folders]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    states = [runs.load(folder, step='latest').state.variables for folder in folders]
    assert_same(*states, tolerance=1e-5)
