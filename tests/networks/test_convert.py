"""Weights from diffusers: the same outputs, and clear words about what does not fit."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import UNet, from_diffusers

FIXTURES = Path(__file__).parent.parent / 'fixtures'
ADDITIVE = UNet(
    (8, 8, 1),
    features=(4, 8),
    num_blocks=1,
    attention_at=(4,),
    head_features=4,
    groups=2,
    scale_shift=False,
)
SCALE_SHIFT = ADDITIVE.clone(scale_shift=True, num_classes=3, freq_shift=1)
NETWORKS = {'additive': ADDITIVE, 'scale_shift': SCALE_SHIFT}


def _load(path=FIXTURES / 'diffusers.npz'):
    with np.load(path) as file:
        return dict(file)


def diffusers_state(arrays, name):
    prefix = f'{name}/state/'
    return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}


def _compare(arrays, name):
    network = NETWORKS[name]
    params = from_diffusers(
        diffusers_state(arrays, name), network, flip_sin_to_cos=name == 'additive'
    )
    label = arrays.get(f'{name}/label')
    x, time = arrays[f'{name}/x'], arrays[f'{name}/time']

    def output(network, time):
        return jax.jit(network.apply)({'params': params}, x, time, label)

    want = arrays[f'{name}/output']
    assert np.std(want) > 0.1
    np.testing.assert_allclose(output(network.clone(time_scale=1.0), time), want, atol=1e-5)
    # t / 1000 · 1000 is not t in float32: the phases of the sinusoids are off by up to 6e-5.
    np.testing.assert_allclose(output(network, jnp.float32(time) / 1000), want, atol=1e-4)


@pytest.mark.parametrize('name', NETWORKS)
def test_outputs_are_those_of_diffusers(name):
    _compare(_load(), name)


@pytest.mark.parametrize('name', NETWORKS)
def test_outputs_are_those_of_the_installed_diffusers(name, tmp_path):
    for library in ('torch', 'diffusers'):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f'{library} is not installed')
    command = [sys.executable, FIXTURES / 'make_diffusers.py', tmp_path / 'new.npz']
    subprocess.run(command, check=True)
    _compare(_load(tmp_path / 'new.npz'), name)


def test_a_model_without_a_class_for_no_label():
    state = diffusers_state(_load(), 'scale_shift')
    three = from_diffusers(state, SCALE_SHIFT)['label']['Embed_0']['embedding']
    four = from_diffusers(state, SCALE_SHIFT.clone(num_classes=4))['label']['Embed_0']['embedding']
    np.testing.assert_array_equal(four[:4], three)
    np.testing.assert_array_equal(four[4], 0)


def test_what_does_not_fit_is_named():
    state = diffusers_state(_load(), 'additive')
    missing = {key: value for key, value in state.items() if 'conv_in' not in key}
    with pytest.raises(
        UserError, match=r'2 parameters are missing: conv_in\.bias, conv_in\.weight$'
    ):
        from_diffusers(missing, ADDITIVE)
    with pytest.raises(UserError, match=r'1 parameters do not belong to the network: more$'):
        from_diffusers(state | {'more': np.zeros(1)}, ADDITIVE)
    shape = r'conv_in.weight has shape \(4, 1, 3, 3\), the network needs \(4, 3, 3, 3\)$'
    with pytest.raises(UserError, match=shape):
        from_diffusers(state, ADDITIVE.clone(shape=(8, 8, 3)))
    with pytest.raises(
        UserError, match=r'parameters do not belong .* down_blocks\.1\.attentions\.0'
    ):
        from_diffusers(state, ADDITIVE.clone(attention_at=()))
    with pytest.raises(UserError, match="resample='conv'"):
        from_diffusers(state, ADDITIVE.clone(resample='block'))
