"""Training on the user's own files, named on the command line."""

import functools
import json
from pathlib import Path

import numpy as np
import optax
import pytest

import genjax
from genjax import data
from genjax.config import spec
from genjax.data import arrays
from genjax.errors import UserError
from genjax.models.diffusion import DiffusionModel
from genjax.models.flow import ActNorm, Flow
from genjax.networks import TimeMLP
from genjax.training import Experiment
from genjax.training import loading as runs
from tests.data import own
from tests.training import tiny
from tests.training.conftest import assert_same, records, state_of

pytestmark = pytest.mark.slow


@pytest.mark.full
def test_twice_n_steps_are_n_and_n(train, tmp_path):
    """Augmented images of a folder, streamed and then from memory, as from memory alone."""
    options = {
        'dataset': '@genjax.data.Images',
        'dataset.path': own.images(tmp_path).path,
        'dataset.size': 8,
        'dataset.channels': 1,
        'augment': '(@genjax.data.Flip,@genjax.data.Crop,@genjax.data.ResizedCrop)',
    }
    for steps, folder, in_memory in ((6, 'run', False), (12, 'run', True), (12, 'whole', True)):
        fields = {**options, 'dataset.in_memory': in_memory, 'steps': steps}
        status, _, err = train(workdir=tmp_path / folder, **fields)
        assert (status, err) == (0, '')
    assert_same(state_of(tmp_path / 'run'), state_of(tmp_path / 'whole'))
    assert records(tmp_path / 'run') == records(tmp_path / 'whole')


def test_what_is_left_out_is_recorded(train, tmp_path):
    dataset = own.images(tmp_path)
    (tmp_path / 'photos and drawings' / 'cat' / 'no.png').write_text('no')
    options = {'dataset': '@genjax.data.Images', 'dataset.path': dataset.path, 'steps': 2,
               'dataset.size': 8, 'dataset.channels': 1}  # fmt: skip
    status, _, err = train(**options)
    assert status == 2 and '1 of 61 images' in err and 'cat/no.png: it is no image' in err
    assert not (tmp_path / 'run').exists()
    status, _, err = train(**options, **{'dataset.on_error': 'skip'})
    assert status == 0
    record = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert record['data_skipped'] == {'cat/no.png': 'it is no image'}


def test_augmentation_is_of_training_only(train, tmp_path):
    """With a learning rate of 0, the loss of training differs, and nothing of evaluation."""
    folders = {'plain': (), 'augmented': ('--config.augment=(@genjax.data.Flip,)',)}
    found = {}
    for name, words in folders.items():
        fields = {'steps': 4, 'optimizer.learning_rate': 0.0, 'evals.nll.every': 4}
        assert train(*words, workdir=tmp_path / name, family='judged', **fields)[0] == 0
        found[name] = (
            [record['vae/loss'] for record in records(tmp_path / name)],
            [record['nll/nll'] for record in records(tmp_path / name, 'nll/nll')],
        )
    assert found['plain'][0] != found['augmented'][0]
    assert found['plain'][1] == found['augmented'][1]


@pytest.mark.full
def test_what_was_done_to_an_image_is_a_condition(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)
    config = spec(
        Experiment,
        dataset=spec(data.AugmentLabels, spec(tiny.Blots)),
        augment=(spec(data.EDMAugment, probability=0.5),),
        preprocess=spec(data.Chain, steps=(spec(data.Scale, low=-1.0),)),
        model=spec(
            DiffusionModel,
            network=spec(TimeMLP, shape=(8, 8, 1), features=8, num_layers=1),
            context_shape=(13,),
        ),
        optimizer=spec(optax.adam, learning_rate=1e-2),
        steps=2,
        batch_size=16,
        num_samples=4,
    )
    run = genjax.train(config, tmp_path / 'run')
    context = np.zeros((4, 13), np.float32)
    context[:, 1] = 1  # of the second class, as it is
    assert run.sample(4, context=context).shape == (4, 8, 8, 1)
    with pytest.raises(UserError, match='give a context'):
        run.sample(4)


def test_arrays_from_python_and_their_moments_are_recorded(tmp_path, monkeypatch):
    """The run is used without the data, and resumed with the same arrays only."""
    monkeypatch.setattr('jax.device_count', lambda: 1)
    x = np.random.RandomState(0).randn(300, 2) * [5, 0.1] + [100, 3]

    config = functools.partial(
        spec,
        Experiment,
        preprocess=spec(data.Chain, steps=(spec(data.Standardise),)),
        model=spec(Flow, spec(ActNorm), shape=(2,)),
        optimizer=spec(optax.adam, learning_rate=1e-2),
        batch_size=32,
    )
    run = genjax.train(config(dataset=data.Arrays(x=x), steps=3), tmp_path / 'run')
    record = json.loads((tmp_path / 'run' / 'config.json').read_text())
    moments = record['preprocess']['steps[0]']
    source = data.Arrays(x=x).source('train')
    rows = source[np.arange(len(source))]['x'].astype(np.float64)
    np.testing.assert_allclose(moments['mean'], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments['std'], rows.std(axis=0), rtol=1e-9)
    samples, density = run.sample(8), run.log_prob(x[:4]).value
    Path(record['config']['dataset']['path']).unlink()
    arrays._open.cache_clear()
    again = runs.load(tmp_path / 'run')
    np.testing.assert_array_equal(again.sample(8), samples)
    more = genjax.train(config(dataset=data.Arrays(x=x), steps=5), tmp_path / 'run')
    assert more.step == 5
    np.testing.assert_array_equal(again.log_prob(x[:4]).value, density)
    with pytest.raises(UserError, match='training data are not those'):
        genjax.train(config(dataset=data.Arrays(x=2 * x), steps=6), tmp_path / 'run')
