"""Two runs in a chain: the second trains on codes of the first, and what it draws is decoded."""

import json
import shutil

import jax
import numpy as np
import optax
import pytest

from genjax.config import build, spec
from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.models import VAE, Gaussian, KLAutoencoder, VQAutoencoder
from genjax.models.autoregressive import GPT
from genjax.networks import MLP, MapDecoder, MapEncoder, PatchDiscriminator, Transformer
from genjax.training import Encode, Experiment, loop
from genjax.training import run as runs
from tests.training import tiny
from tests.training.conftest import assert_same, the_line

KEY = jax.random.key(0)
_COMMON = {'dataset': spec(tiny.Blots), 'batch_size': 16, 'log_every': 1, 'num_samples': 4}


def first_stage(kind=KLAutoencoder, **fields):
    """An autoencoder of the blots, with codes 4x4."""
    model = spec(
        kind,
        encoder=spec(MapEncoder, features=(4, 4), num_blocks=1),
        decoder=spec(MapDecoder, shape=tiny.SHAPE, features=(4, 4), num_blocks=1),
        discriminator=spec(PatchDiscriminator, features=(4,)),
    )
    return spec(
        Experiment,
        **{
            **_COMMON,
            'preprocess': spec(Chain, steps=(spec(Scale, low=-1.0),)),
            'model': model,
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            'steps': 4,
            'ema': (0.5,),
            **fields,
        },
    )


def second_stage(workdir, **fields):
    """A VAE of the codes 4x4x4."""
    mlp = {'features': (8,)}
    model = spec(
        VAE,
        encoder=spec(MLP, **mlp),
        decoder=spec(MLP, **mlp, shape=(4, 4, 4)),
        latent_dim=2,
        likelihood=spec(Gaussian),
        eval_samples=2,
    )
    return spec(
        Experiment,
        **{
            **_COMMON,
            'preprocess': spec(Chain, steps=(spec(Encode, workdir=str(workdir)),)),
            'model': model,
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            'steps': 4,
            **fields,
        },
    )


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The folder of a trained first stage."""
    workdir = tmp_path_factory.mktemp('runs') / 'first'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('jax.device_count', lambda: 1)
        loop.train(first_stage(), workdir)
    return workdir


def test_the_chain(trained, tmp_path, genjax):
    second = tmp_path / 'second'
    loop.train(second_stage(trained), second)
    out = tmp_path / 'samples.npz'
    assert genjax('sample', f'--workdir={second}', f'--out={out}', '--num=5')[0] == 0
    samples = np.load(out)['x']
    # The very same codes, decoded by the first stage alone.
    run, first = runs.load(second), runs.load(trained)
    key = jax.random.fold_in(jax.random.key(0), np.uint32(0))
    codes = run.experiment.model.sample(run.state.variables, key, 256)
    decoded = first.experiment.model.decode(first.state.averaged, codes, key)
    np.testing.assert_allclose(samples, ((decoded + 1) * 127.5)[:5], rtol=1e-3, atol=1e-2)
    assert samples.shape == (5, *tiny.SHAPE)
    status, shown, _ = genjax('evaluate', f'--workdir={second}')
    assert status == 0 and 'test' in shown

    record = json.loads((second / 'config.json').read_text())['preprocess']['steps[0]']
    source = json.loads((trained / 'config.json').read_text())
    assert record['step'] == 4
    assert record['run'] == {name: source[name] for name in ('id', 'config', 'fingerprint', 'data')}


def test_the_step_encodes_as_the_first_stage_does(trained):
    step, first = Encode(str(trained)), runs.load(trained)
    x = tiny.Blots().source('test')[np.arange(6)]['x']
    z, log_det = jax.jit(step)(x, KEY)
    _, encode_key = jax.random.split(KEY)
    want = first.experiment.model.encode(first.state.averaged, x / 127.5 - 1, encode_key)
    np.testing.assert_allclose(z, want, rtol=1e-3, atol=1e-4)
    assert np.all(np.isnan(log_det)) and log_det.shape == (6,)
    assert step == Encode(str(trained)) and hash(step) == hash(Encode(str(trained), None))
    assert step != Encode(str(trained), 4)


def test_resumed_it_is_the_same_bit_for_bit(trained, tmp_path):
    for steps in (2, 4):
        loop.train(second_stage(trained, steps=steps), tmp_path / 'halves')
    loop.train(second_stage(trained), tmp_path / 'whole')
    assert_same(runs.load(tmp_path / 'halves').state, runs.load(tmp_path / 'whole').state)


def test_tokens_of_a_first_stage(tmp_path):
    loop.train(first_stage(VQAutoencoder), tmp_path / 'first')
    network = spec(Transformer, shape=(16,), vocab_size=64, features=8, num_layers=1, num_heads=2)
    model = spec(GPT, network=network)
    loop.train(second_stage(tmp_path / 'first', model=model), tmp_path / 'second')
    run = runs.load(tmp_path / 'second')
    x = tiny.Blots().source('test')[np.arange(6)]['x']
    tokens, _ = run.experiment.preprocess(x, KEY)
    assert (tokens.shape, tokens.dtype) == ((6, 16), np.int32)
    assert run.experiment.preprocess.inverse(tokens).shape == x.shape


def test_likelihoods_are_refused(trained, tmp_path):
    from genjax.evaluation import Likelihood

    config = second_stage(trained, test=(spec(Likelihood),))
    with pytest.raises(UserError, match=r'density .* through the preprocessing \(Encode\)'):
        loop.train(config, tmp_path / 'run')


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
        first, preprocess=spec(Chain, steps=(spec(Encode, workdir=str(first), step=4),))
    )
    loop.train(pinned, tmp_path / 'third')
    record = json.loads((tmp_path / 'third' / 'config.json').read_text())
    assert record['preprocess']['steps[0]']['step'] == 4


def test_what_cannot_be_encoded_is_refused(trained, tmp_path):
    with pytest.raises(
        UserError, match=r'config.preprocess.steps\[0\]: .* is not the folder of a run'
    ):
        build(second_stage(tmp_path / 'nowhere'))
    with pytest.raises(UserError, match='has no step 3'):
        Encode(str(trained), 3)
    with pytest.raises(
        UserError, match=r'examples of shape \(8, 8, 1\), the data have \(9, 8, 1\)'
    ):
        Encode(str(trained))(np.zeros((2, 9, 8, 1), np.uint8), KEY)
    loop.train(tiny.gan(steps=1), tmp_path / 'gan')
    with pytest.raises(UserError, match='a GAN, which has no encode'):
        Encode(str(tmp_path / 'gan'))
    model = second_stage(trained).model
    model.decoder.shape = (5,)
    with pytest.raises(UserError, match=r'shape \(5,\), the data have \(4, 4, 4\)'):
        loop.train(second_stage(trained, model=model), tmp_path / 'misfit')
    with pytest.raises(UserError, match='Encode takes the pixels'):
        Chain((Scale(), Encode(str(trained))))
