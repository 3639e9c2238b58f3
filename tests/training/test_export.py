"""Exports: what they hold, that they are whole or not there, and that diffusers reads them."""

import functools
import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from genjax import files, load
from genjax.config import spec
from genjax.errors import UserError
from genjax.networks import DiT
from genjax.training import Start, loop
from genjax.training.weights import fingerprint, named
from tests.tiers import full
from tests.training import tiny
from tests.training.conftest import assert_same
from tests.training.denoisers import DIT, UNET, diffusion

pytestmark = pytest.mark.slow

CONFIGS = {
    'vae': functools.partial(tiny.vae, steps=2),
    'flow': diffusion,
    'unet': functools.partial(diffusion, UNET),
    'dit': functools.partial(diffusion, DIT),
}


@pytest.fixture(scope='module')
def run_of(tmp_path_factory):
    """`run_of('unet')`: the folder of a run, trained when it is first asked for."""
    path = tmp_path_factory.mktemp('runs')

    def run_of(name):
        if not (path / name).exists():
            loop.train(CONFIGS[name](), path / name)
        return path / name

    return run_of


@pytest.fixture(autouse=True)
def _one_device(monkeypatch):
    monkeypatch.setattr('jax.device_count', lambda: 1)


def card(folder):
    return json.loads((folder / 'card.json').read_text())


def test_weights_with_a_card(run_of, tmp_path, genjax):
    out = tmp_path / 'new' / 'out'
    words = ['export', f'--workdir={run_of("vae")}', f'--out={out}', '--ema=0.99']
    status, shown, err = genjax(*words)
    assert (status, err) == (0, '') and 'step 2 of' in shown and 'as safetensors' in shown
    assert sorted(path.name for path in out.iterdir()) == ['card.json', 'model.safetensors']
    run = load(run_of('vae'), ema=0.99)
    variables = jax.device_get(run.variables)
    assert_same(load_file(out / 'model.safetensors'), named(variables))

    made = card(out)
    record = json.loads((run_of('vae') / 'config.json').read_text())
    assert (made['format'], made['model'], made['step']) == ('safetensors', 'VAE', 2)
    assert made['ema'] == 0.99 and made['fingerprint'] == fingerprint(variables)
    assert made['config'] == record['config'] and made['run']['id'] == record['id']
    assert made['data']['preprocess'] == record['config']['preprocess']
    assert made['data']['example']['x'] == [[8, 8, 1], 'uint8']
    shapes = {name: [str(a.dtype), list(a.shape)] for name, a in named(variables).items()}
    assert made['arrays'] == shapes

    # Into a run again, and out of it: byte for byte.
    config = tiny.vae(steps=0, start=(spec(Start, path=str(out)),))
    loop.train(config, tmp_path / 'again')
    load(tmp_path / 'again').export(tmp_path / 'twice')
    one, two = (path / 'model.safetensors' for path in (out, tmp_path / 'twice'))
    assert one.read_bytes() == two.read_bytes()
    assert card(tmp_path / 'twice')['fingerprint'] == made['fingerprint']


@pytest.mark.parametrize('name', [full('unet'), 'dit'])
def test_a_folder_of_diffusers_goes_into_a_run_and_back_byte_for_byte(name, run_of, tmp_path):
    run = load(run_of(name))
    run.export(tmp_path / 'out', 'diffusers')
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    assert config['_class_name'] == {'unet': 'UNet2DModel', 'dit': 'DiTTransformer2DModel'}[name]
    assert card(tmp_path / 'out')['timestep'] == '1000 times the time of the model'
    network = {'unet': UNET, 'dit': DIT}[name]
    start = (spec(Start, path=str(tmp_path / 'out')),)
    loop.train(diffusion(network, steps=0, start=start), tmp_path / 'again')
    again = load(tmp_path / 'again')
    assert_same(again.variables, run.variables)
    again.export(tmp_path / 'twice', 'diffusers')
    for file in ('config.json', 'diffusion_pytorch_model.safetensors'):
        one, two = (tmp_path / made / file for made in ('out', 'twice'))
        assert one.read_bytes() == two.read_bytes()

    for wrong, line in (
        (UNET if name == 'dit' else DIT, 'of diffusers, and this model has no such network'),
        (spec(DiT, **{**_fields(DIT), 'num_heads': 1}), 'num_attention_heads is 2 there and 1'),
    )[: 1 + (name == 'dit')]:
        with pytest.raises(UserError, match=rf'config\.start\[0\]: .*{line}'):
            loop.train(diffusion(wrong, start=start), tmp_path / 'wrong')


def _fields(config):
    return {name: value for name, value in config.items() if name != '_target_'}


THEIRS = """
import sys, numpy as np, torch, diffusers
kind, folder, file, out = sys.argv[1:]
model = getattr(diffusers, kind).from_pretrained(folder).eval()
a = np.load(file)
x, time, label = (torch.tensor(a[name]) for name in ('x', 'time', 'label'))
with torch.inference_mode():
    y = model(x.permute(0, 3, 1, 2), time, class_labels=label).sample
    np.save(out, y.permute(0, 2, 3, 1).numpy())
"""


@pytest.mark.full
@pytest.mark.parametrize('name', ['unet', 'dit'])
def test_diffusers_loads_the_folder_and_has_our_outputs(name, run_of, tmp_path):
    """In the Python of $GENJAX_DIFFUSERS, or in this one."""
    python = os.environ.get('GENJAX_DIFFUSERS', sys.executable)
    probe = [python, '-c', 'import torch, diffusers']
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f'{python} has no torch and diffusers ($GENJAX_DIFFUSERS names another)')
    run = load(run_of(name))
    # Of one step of training, the output is still zero: move everything.
    params = jax.tree.map(
        lambda a: a + 0.1 * np.random.default_rng(a.size).normal(size=a.shape).astype(np.float32),
        jax.device_get(run.variables['params']),
    )
    object.__setattr__(run, 'variables', {**run.variables, 'params': params})
    run.export(tmp_path / 'out', 'diffusers')
    kind = json.loads((tmp_path / 'out' / 'config.json').read_text())['_class_name']
    generator = np.random.default_rng(0)
    x = generator.normal(size=(5, *tiny.SHAPE)).astype(np.float32)
    time, label = np.array([0, 10, 500, 998, 999]), np.arange(5)  # 4: no label
    np.savez(tmp_path / 'in.npz', x=x, time=time, label=label)
    command = [
        python,
        '-c',
        THEIRS,
        kind,
        tmp_path / 'out',
        tmp_path / 'in.npz',
        tmp_path / 'y.npy',
    ]
    subprocess.run(command, check=True)
    network = run.model.with_condition(run.model.network).clone(time_scale=1.0)
    ours = network.apply({'params': params['network']}, x, np.float32(time), label)
    assert np.std(ours) > 0.1
    np.testing.assert_allclose(np.load(tmp_path / 'y.npy'), ours, atol=1e-5)


KILLED = """
import os, pathlib, signal, sys
from genjax.files import new_folder
with new_folder(pathlib.Path(sys.argv[1])) as folder:
    (folder / 'half').write_text('half')
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_there_whole_or_not_at_all(run_of, tmp_path):
    out = tmp_path / 'out'
    assert subprocess.run([sys.executable, '-c', KILLED, out]).returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(RuntimeError), files.new_folder(out) as half:
        (half / 'half').touch()
        raise RuntimeError
    assert not out.exists()
    out.mkdir()  # an empty one is fine
    load(run_of('vae')).export(out)
    before = card(out)
    with pytest.raises(UserError, match=r'--out=.*out: a new or empty folder is needed'):
        load(run_of('vae')).export(out)
    assert card(out) == before


@pytest.mark.parametrize(
    ('name', 'words', 'line'),
    [
        (
            'vae',
            ['--format=diffusers'],
            'one UNet or DiT is needed; in this VAE there is none',
        ),
        ('vae', ['--format=onnx'], "invalid choice: 'onnx'"),
        ('vae', ['--step=7'], 'has no step 7'),
        full('flow', ['--sampling.stepz=1'], "no option 'sampling.stepz'; did you mean"),
    ],
)
def test_a_mistake_is_one_line(name, words, line, run_of, tmp_path, genjax):
    out = tmp_path / 'out'
    status, _, err = genjax('export', f'--workdir={run_of(name)}', f'--out={out}', *words)
    assert status == 2 and line in err and err.count('\n') == 1
    assert not out.exists()
    with pytest.raises(UserError, match=r"--format=jacks is not one of .*; did you mean 'jax'"):
        load(run_of(name)).export(out, 'jacks')
