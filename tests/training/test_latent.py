"""Two runs in a chain: the second trains on codes of the first, and what it draws is decoded."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.config import build, spec
from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.models import VQAutoencoder
from genjax.sampling import draw
from genjax.training import EncodeLatents, loop
from genjax.training import loading as runs
from tests.training import tiny
from tests.training.conftest import assert_same, the_line
from tests.training.stages import first_stage, of_tokens, second_stage

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


@pytest.mark.full
def test_the_chain(trained, tmp_path, genjax):
    second = tmp_path / 'second'
    loop.train(second_stage(trained), second)
    out = tmp_path / 'samples.npz'
    assert (
        genjax('sample', f'--workdir={second}', f'--out={out}', '--num=5', '--dtype=float32')[0]
        == 0
    )
    samples = np.load(out)['x']
    # The very same codes, decoded by the first stage alone.
    run, first = runs.load(second), runs.load(trained)
    codes = draw(run.model, run.variables, 5)
    decoded = first.experiment.model.decode(first.state.averaged, codes, KEY)
    np.testing.assert_allclose(samples, (decoded + 1) * 127.5, rtol=1e-3, atol=1e-2)
    assert samples.shape == (5, *tiny.SHAPE)
    evals = '--evals=@genjax.evaluation.Reconstruction'
    status, shown, _ = genjax('evaluate', f'--workdir={second}', evals)
    assert status == 0 and 'test' in shown

    record = json.loads((second / 'config.json').read_text())['preprocess']['steps[0]']
    source = json.loads((trained / 'config.json').read_text())
    assert record['step'] == 4
    assert record['run'] == {name: source[name] for name in ('id', 'config', 'fingerprint', 'data')}


@pytest.mark.full
def test_the_first_stage_is_found_from_anywhere_and_after_a_move(
    trained, tmp_path, monkeypatch, genjax
):
    shutil.copytree(trained, tmp_path / 'runs' / 'first')
    monkeypatch.chdir(tmp_path)
    loop.train(second_stage('runs/first', steps=1), Path('runs/second'))
    step = runs.load(tmp_path / 'runs' / 'second').step
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert runs.load(tmp_path / 'runs' / 'second').step == step

    archive = tmp_path / 'archive' / 'all'
    shutil.move(tmp_path / 'runs', archive)  # both together
    assert runs.load(archive / 'second').step == step
    # Where it lies is no part of what was trained.
    loop.train(second_stage(archive / 'first', steps=2), archive / 'second')

    shutil.move(archive / 'second', tmp_path / 'second')  # this one alone: still found
    assert runs.load(tmp_path / 'second').step == 2
    shutil.move(archive / 'first', tmp_path / 'renamed')
    words = ('sample', f'--workdir={tmp_path / "second"}', '--out=a.npz', '--num=1')
    line = the_line(*genjax(*words)[::2])
    assert 'is not the folder of a run' in line and '--first_stage=DIR' in line
    assert genjax(*words, f'--first_stage={tmp_path / "renamed"}')[0] == 0
    line = the_line(*genjax(*words[:1], f'--workdir={trained}', *words[2:], '--first_stage=x')[::2])
    assert 'this run has no first stage' in line


def test_the_step_encodes_as_the_first_stage_does(trained):
    step, first = EncodeLatents(str(trained)), runs.load(trained)
    x = tiny.Blots().source('test')[np.arange(6)]['x']
    z, log_det = jax.jit(step)(x, KEY)
    _, encode_key = jax.random.split(KEY)
    want = first.experiment.model.encode(first.state.averaged, x / 127.5 - 1, encode_key)
    np.testing.assert_allclose(z, want, rtol=1e-3, atol=1e-4)
    assert np.all(np.isnan(log_det)) and log_det.shape == (6,)
    assert step == EncodeLatents(str(trained)) and hash(step) == hash(
        EncodeLatents(str(trained), None)
    )
    assert step != EncodeLatents(str(trained), 4)


def test_resumed_it_is_the_same_bit_for_bit(trained, tmp_path):
    for steps in (2, 4):
        loop.train(second_stage(trained, steps=steps), tmp_path / 'halves')
    loop.train(second_stage(trained), tmp_path / 'whole')
    assert_same(runs.load(tmp_path / 'halves').state, runs.load(tmp_path / 'whole').state)


@pytest.mark.full
def test_tokens_of_a_first_stage(tmp_path):
    loop.train(first_stage(VQAutoencoder), tmp_path / 'first')
    loop.train(second_stage(tmp_path / 'first', model=of_tokens()), tmp_path / 'second')
    run = runs.load(tmp_path / 'second')
    x = tiny.Blots().source('test')[np.arange(6)]['x']
    tokens, _ = run.experiment.preprocess(x, KEY)
    assert (tokens.shape, tokens.dtype) == ((6, 16), np.int32)
    assert run.experiment.preprocess.inverse(tokens).shape == x.shape


def test_likelihoods_are_refused(trained, tmp_path):
    from genjax.evaluation import Likelihood

    config = second_stage(trained, evals={'nll': spec(Likelihood)})
    with pytest.raises(UserError, match=r'density .* through the preprocessing \(EncodeLatents\)'):
        loop.train(config, tmp_path / 'run')


@pytest.mark.full
def test_another_first_stage_is_refused(trained, tmp_path, genjax):
    first, second = tmp_path / 'first', tmp_path / 'second'
    shutil.copytree(trained, first)
    loop.train(second_stage(first, steps=2), second)
    loop.train(first_stage(steps=6), first)
    with pytest.raises(UserError, match=rf'steps\[0\] is not .* it was step 4 of {first}'):
        loop.train(second_stage(first), second)
    line = the_line(*genjax('sample', f'--workdir={second}', '--out=x.png')[::2])
    assert f'it was step 4 of {first}' in line
    pinned = second_stage(
        first, preprocess=spec(Chain, steps=(spec(EncodeLatents, workdir=str(first), step=4),))
    )
    loop.train(pinned, tmp_path / 'third')
    record = json.loads((tmp_path / 'third' / 'config.json').read_text())
    assert record['preprocess']['steps[0]']['step'] == 4


@pytest.mark.full
def test_what_cannot_be_encoded_is_refused(trained, tmp_path):
    with pytest.raises(
        UserError, match=r'config.preprocess.steps\[0\]: .* is not the folder of a run'
    ):
        build(second_stage(tmp_path / 'nowhere'))
    with pytest.raises(UserError, match='has no step 3'):
        EncodeLatents(str(trained), 3)
    with pytest.raises(
        UserError, match=r'examples of shape \(8, 8, 1\), the data have \(9, 8, 1\)'
    ):
        EncodeLatents(str(trained))(np.zeros((2, 9, 8, 1), np.uint8), KEY)
    loop.train(tiny.gan(steps=1), tmp_path / 'gan')
    with pytest.raises(UserError, match='a GAN, which has no encode'):
        EncodeLatents(str(tmp_path / 'gan'))
    model = second_stage(trained).model
    model.decoder.shape = (5,)
    with pytest.raises(UserError, match=r'shape \(5,\), the data have \(4, 4, 4\)'):
        loop.train(second_stage(trained, model=model), tmp_path / 'misfit')
    with pytest.raises(UserError, match='EncodeLatents takes the pixels'):
        Chain((Scale(), EncodeLatents(str(trained))))
