"""Codes that are stored once are those that `EncodeLatents` makes anew, as is what follows."""

import json
import shutil

import jax
import numpy as np
import pytest

from genjax.config import build, spec
from genjax.data import Chain, Latents, SemiSupervised, eval_batches, latents
from genjax.errors import UserError
from genjax.evaluation import LabelAccuracy
from genjax.models import InverseAutoregressive, VQAutoencoder
from genjax.networks import MaskedMLP
from genjax.sampling import draw
from genjax.training import EncodeLatents, LoadLatents, encoding, loop
from genjax.training import loading as runs
from genjax.training.experiment import experiment_of
from genjax.training.first_stage import FirstStage
from genjax.training.programs import abstract_state, example_of
from tests.training import tiny
from tests.training.conftest import assert_same, records, the_line
from tests.training.stages import first_stage, of_tokens, second_stage

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
SPLITS = ('train', 'validation', 'test')


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


@pytest.fixture(scope='module')
def codes(trained):
    """The folder of the codes of all blots."""
    out = trained.parent / 'codes'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        encoding.encode(FirstStage.load(trained), out, SPLITS, batch_size=16)
    return out


def of_stored(codes, trained, **fields):
    """The second stage on stored codes."""
    chain = spec(Chain, steps=(spec(LoadLatents, workdir=str(trained)),))
    dataset = spec(Latents, path=str(codes))
    return second_stage(trained, **{'dataset': dataset, 'preprocess': chain, **fields})


def everything(source):
    return source[np.arange(len(source))]


@pytest.mark.parametrize('split', SPLITS)
def test_means_and_deviations_are_those_of_the_model_in_the_order_of_the_data(
    split, codes, trained
):
    first = runs.load(trained)
    original, stored = tiny.Blots().source(split), Latents(str(codes)).source(split)
    x = everything(original)['x'] / 127.5 - 1
    mean, std = first.experiment.model.code_moments(first.state.averaged, x.astype(np.float32))
    found = everything(stored)
    np.testing.assert_allclose(found['x'], np.stack([mean, std], axis=1), rtol=1e-4, atol=1e-5)
    assert np.all(found['x'][:, 1] > 0)
    np.testing.assert_array_equal(found['label'], everything(original)['label'])


def test_what_is_drawn_and_decoded_is_what_encode_draws_and_decodes(codes, trained):
    encode, encoded = EncodeLatents(str(trained)), LoadLatents(str(trained))
    x = everything(tiny.Blots().source('test'))['x']
    stored = everything(Latents(str(codes)).source('test'))['x']
    z, want = encoded(stored, KEY)[0], encode(x, KEY)[0]
    np.testing.assert_allclose(z, want, rtol=1e-3, atol=1e-4)
    assert not np.allclose(z, encoded(stored, jax.random.key(1))[0], atol=0.01)
    decoded = jax.jit(encoded.inverse)(z)
    np.testing.assert_allclose(decoded, encode.inverse(want), rtol=1e-3, atol=0.02)
    shown = Chain((encoded,)).show(stored)
    np.testing.assert_allclose(shown, encode.inverse(stored[:, 0]), rtol=1e-3, atol=0.02)


@pytest.mark.full
def test_training_on_stored_codes_is_training_through_encode(codes, trained, tmp_path):
    loop.train(second_stage(trained), tmp_path / 'encode')
    loop.train(of_stored(codes, trained), tmp_path / 'stored')
    states = [runs.load(tmp_path / name).state for name in ('encode', 'stored')]
    assert_same(states[0].variables, states[1].variables, tolerance=1e-4)
    losses = [[r['vae/loss'] for r in records(tmp_path / name)] for name in ('encode', 'stored')]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_chain_of_commands(trained, tmp_path, genjax):
    out = tmp_path / 'codes'
    status, shown, err = genjax('encode', f'--workdir={trained}', f'--out={out}')
    assert (status, err) == (0, '')
    assert 'train 40, validation 40, test 40, each as float32[2, 4, 4, 4]' in shown
    record = json.loads((out / latents.RECORD).read_text())
    assert record['first_stage']['step'] == 4
    assert record['data'] == {s: tiny.Blots().source(s).fingerprint for s in SPLITS}
    assert record['provenance']['packages']['jax']

    second = tmp_path / 'second'
    loop.train(of_stored(out, trained, sample_every=2), second)
    assert sorted(path.name for path in second.glob('*/4.png')) == ['4.png'] * 2
    samples = tmp_path / 'samples.npz'
    assert (
        genjax('sample', f'--workdir={second}', f'--out={samples}', '--num=5', '--dtype=float32')[0]
        == 0
    )
    x = np.load(samples)['x']
    run, first = runs.load(second), runs.load(trained)
    drawn = draw(run.model, run.variables, 5)
    decoded = first.experiment.model.decode(first.state.averaged, drawn, KEY)
    np.testing.assert_allclose(x, (decoded + 1) * 127.5, rtol=1e-3, atol=1e-2)
    assert x.shape == (5, *tiny.SHAPE)


def test_few_labels_of_stored_codes_are_codes_of_the_first_stage(codes, trained, tmp_path):
    few = SemiSupervised(Latents(str(codes)), per_class=2)
    LoadLatents(str(trained)).check(few)
    label = everything(few.source('train'))['label']
    assert set(label[label >= 0]) == set(range(4)) and np.any(label == -1)


@pytest.mark.full
def test_resumed_it_is_the_same_bit_for_bit(codes, trained, tmp_path):
    for steps in (2, 4):
        loop.train(of_stored(codes, trained, steps=steps), tmp_path / 'halves')
    loop.train(of_stored(codes, trained), tmp_path / 'whole')
    assert_same(runs.load(tmp_path / 'halves').state, runs.load(tmp_path / 'whole').state)


@pytest.mark.full
def test_token_likelihood(tmp_path):
    first, out = tmp_path / 'first', tmp_path / 'codes'
    loop.train(first_stage(VQAutoencoder), first)
    encoding.encode(FirstStage.load(first), out, SPLITS, batch_size=16)
    found = everything(Latents(str(out)).source('test'))['x']
    x = everything(tiny.Blots().source('test'))['x']
    np.testing.assert_array_equal(found, EncodeLatents(str(first))(x, KEY)[0])
    assert (found.dtype, Latents(str(out)).event_shape) == (np.int32, (16,))
    loop.train(of_stored(out, first, model=of_tokens()), tmp_path / 'second')
    step = runs.load(tmp_path / 'second').experiment.preprocess
    np.testing.assert_array_equal(step(found, KEY)[0], found)
    np.testing.assert_allclose(step.show(found), step.inverse(found), rtol=1e-4, atol=0.01)


@pytest.mark.full
def test_codes_of_a_model_that_knows_no_moments_are_points(tmp_path):
    config = tiny.vae(steps=1, accumulate=1)
    with config.ignore_type():
        config.model.flow = spec(InverseAutoregressive, spec(MaskedMLP, (4,)), steps=1)
    loop.train(config, tmp_path / 'vae')
    stage = FirstStage.load(tmp_path / 'vae')
    x = everything(tiny.Blots().source('test'))['x']
    stored = stage.stored(stage.variables, x, KEY)
    assert stored.shape == (40, 2, 3) and not np.any(stored[:, 1])
    np.testing.assert_array_equal(stored[:, 0], stage.encode(stage.variables, x, KEY))


def test_files_give_the_batches_of_memory(codes):
    found = [
        list(eval_batches(Latents(str(codes), in_memory=m).source('test'), batch_size=16))
        for m in (True, False)
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_many_devices_encode_as_one_does(codes, trained, tmp_path, monkeypatch):
    stage = FirstStage.load(trained)
    monkeypatch.undo()
    assert jax.device_count() == 8
    encoding.encode(stage, tmp_path / 'codes', ('test',), batch_size=12)
    found = [everything(Latents(str(p)).source('test')) for p in (codes, tmp_path / 'codes')]
    np.testing.assert_allclose(found[0]['x'], found[1]['x'], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[0]['label'], found[1]['label'])


def test_a_classifier_of_stored_codes_learns_from_what_they_stand_for(codes, trained):
    """Its own accuracy is that of a classifier of reconstructions."""
    from genjax.evaluation.labels import train_classifier

    dataset, step = Latents(str(codes)), LoadLatents(str(trained))
    shapes = []

    def show(x):
        shown = step.show(x)
        shapes.append(shown.shape)
        return shown

    _, accuracy = train_classifier(dataset, LabelAccuracy().classifier, show)
    assert shapes == [(40, *tiny.SHAPE)] * 2 and 0.25 < accuracy <= 1


def test_a_dry_run_needs_neither_codes_nor_first_stage(codes, trained, tmp_path):
    there = experiment_of(of_stored(codes, trained))
    dataset = spec(Latents, path=str(tmp_path / 'nowhere'), shape=(4, 4, 4), classes=4)
    planned = experiment_of(of_stored('', tmp_path / 'nowhere', dataset=dataset))
    assert planned.dataset.example == example_of(there.dataset.source('train'))
    assert planned.dataset.example == there.dataset.example
    assert planned.dataset.event_shape == there.dataset.event_shape == (2, 4, 4, 4)
    assert planned.dataset.num_classes == there.dataset.num_classes == 4
    mesh = there.mesh.make()
    states = [abstract_state(e, e.dataset.example, mesh) for e in (there, planned)]
    assert jax.tree.leaves(states[0]) == jax.tree.leaves(states[1])
    with pytest.raises(UserError, match=r'there are no codes in .*nowhere: `genjax encode'):
        planned.dataset.source('train')


def test_what_does_not_belong_together_is_refused(codes, trained, tmp_path):
    def refused(config, match):
        with pytest.raises(UserError, match=match):
            loop.train(config, tmp_path / 'run')
        assert not (tmp_path / 'run').exists()

    with pytest.raises(UserError, match='there are no codes in '):
        _ = Latents(str(tmp_path)).event_shape
    refused(of_stored(tmp_path / 'x', trained), 'there are no codes in .*x: `genjax encode')
    refused(of_stored(codes, tmp_path / 'x'), 'is not the folder of a run')
    refused(
        of_stored(codes, trained, dataset=spec(tiny.Blots)),
        'LoadLatents takes .* Latents .* not Blots',
    )
    stated = spec(Latents, path=str(codes), shape=(4, 4, 2))
    refused(of_stored(codes, trained, dataset=stated), r'shape=\(4, 4, 2\), but .* \(4, 4, 4\)')
    stated = spec(Latents, path=str(codes), classes=5)
    refused(of_stored(codes, trained, dataset=stated), 'classes=5, but .* 4')


@pytest.mark.full
def test_codes_of_another_first_stage_are_refused(codes, trained, tmp_path, genjax):
    other = tmp_path / 'other'
    loop.train(first_stage(seed=1), other)
    with pytest.raises(UserError, match=r'of another first stage than step 4 of .*other'):
        loop.train(of_stored(codes, other), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()

    second = tmp_path / 'second'
    shutil.copytree(trained, tmp_path / 'first')
    loop.train(of_stored(codes, tmp_path / 'first', steps=2), second)
    loop.train(first_stage(steps=6), tmp_path / 'first')
    line = the_line(*genjax('sample', f'--workdir={second}', '--out=x.png')[::2])
    assert 'is not what the run in' in line


def test_codes_are_written_whole_or_not_at_all(codes, trained, tmp_path, genjax, monkeypatch):
    words = ['encode', f'--workdir={trained}']
    before = sorted(tmp_path.iterdir())
    line = the_line(*genjax(*words, f'--out={codes}')[::2])
    assert 'is there already' in line
    line = the_line(*genjax(*words, f'--out={tmp_path}/codes', '--batch_size=0')[::2])
    assert '--batch_size must be at least 1' in line
    (tmp_path / 'file').touch()
    line = the_line(*genjax(*words, f'--out={tmp_path}/file/codes')[::2])
    assert 'cannot write' in line
    (tmp_path / 'file').unlink()

    def broken(source, batch_size):
        yield from list(eval_batches(source, batch_size=batch_size))[:2]
        raise UserError('the files are damaged')

    monkeypatch.setattr(encoding, 'eval_batches', broken)
    line = the_line(*genjax(*words, f'--out={tmp_path}/codes', '--batch_size=16')[::2])
    assert line == 'the files are damaged'
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.full
def test_some_splits_only(trained, tmp_path):
    encoding.encode(FirstStage.load(trained), tmp_path / 'codes', ('train',), batch_size=16)
    with pytest.raises(UserError, match="no codes of the split 'test', only of train"):
        build(spec(Latents, path=str(tmp_path / 'codes'))).source('test')
