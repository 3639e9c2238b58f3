"""Weights from and for diffusers: the same outputs, and clear words about what does not fit."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import MLP, DiT, UNet, from_diffusers, to_diffusers
from genjax.networks.convert import check_config, config_of
from tests.tiers import few, full

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
DIT = DiT(
    (8, 8, 2),
    patch=2,
    features=8,
    num_layers=2,
    num_heads=2,
    num_classes=3,
    out_channels=4,
    freq_shift=1,
)


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


@pytest.mark.parametrize('name', few(list(NETWORKS), ['additive']))
def test_outputs_are_those_of_diffusers(name):
    _compare(_load(), name)


def _compare_dit(arrays, scan=False):
    network = DIT.clone(scan=scan, time_scale=1.0)
    state = {k.removeprefix('state/'): a for k, a in arrays.items() if k.startswith('state/')}
    params = from_diffusers(state, network)
    check_config(json.loads(str(arrays['config'])), network)
    output = network.apply({'params': params}, arrays['x'], arrays['time'], arrays['label'])
    assert np.std(arrays['output']) > 0.1
    np.testing.assert_allclose(output, arrays['output'], atol=1e-5)
    return state, params, network


@pytest.mark.parametrize('scan', [full(False), True])
def test_a_transformer_has_the_outputs_of_theirs_and_goes_back_byte_by_byte(scan):
    state, params, network = _compare_dit(_load(FIXTURES / 'dit.npz'), scan)
    assert_same_bytes(to_diffusers(params, network), state)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_unet_goes_back_byte_by_byte(name):
    state = diffusers_state(_load(), name)
    assert_same_bytes(to_diffusers(from_diffusers(state, NETWORKS[name]), NETWORKS[name]), state)


def assert_same_bytes(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].tobytes() == array.tobytes(), name
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)


def test_a_transformer_without_classes_has_an_embedding_of_zeros():
    network = DIT.clone(num_classes=None)
    state = diffusers_dit()
    table = 'transformer_blocks.{}.norm1.emb.class_embedder.embedding_table.weight'
    with pytest.raises(UserError, match=r'2 parameters are not zero: transformer_blocks\.0\.norm1'):
        from_diffusers(state, network)
    zeros = {table.format(i): np.zeros((2, 8), np.float32) for i in range(2)}
    assert_same_bytes(to_diffusers(from_diffusers(state | zeros, network), network), state | zeros)


def diffusers_dit():
    return {
        k.removeprefix('state/'): a
        for k, a in _load(FIXTURES / 'dit.npz').items()
        if k.startswith('state/')
    }


@pytest.mark.parametrize(
    ('network', 'line'),
    [
        (DIT.clone(freq_shift=0.0), 'a DiT in diffusers needs freq_shift=1, not 0'),
        (DIT.clone(expansion=2), 'a DiT in diffusers needs expansion=4, not 2'),
        (DIT.clone(shape=(8, 16, 2)), 'a DiT in diffusers needs square images, not 8 x 16'),
        (ADDITIVE.clone(resample='block'), "a UNet in diffusers needs resample='conv'"),
        (
            ADDITIVE.clone(shape=(9, 8, 1), attention_at=()),
            'needs sides that 1 halvings divide, not 9 x 8',
        ),
        (ADDITIVE.clone(features=(4, 32), groups=None), 'set UNet.groups, as here they have'),
        (ADDITIVE.clone(features=(4, 10)), 'head_features=4 does not divide 10, 10'),
        (DIT.clone(num_classes=None, context_shape=(3,)), 'takes labels, not contexts'),
        (MLP((4,), shape=(2,)), 'diffusers has no MLP, only a UNet or a DiT'),
    ],
)
def test_what_diffusers_does_not_have_is_refused(network, line):
    with pytest.raises(UserError, match=line):
        config_of(network)


def test_a_config_of_another_network_is_named():
    config = config_of(SCALE_SHIFT)
    assert config['attention_head_dim'] == 4
    assert config_of(SCALE_SHIFT.clone(head_features=64))['attention_head_dim'] == 8  # one head
    check_config(config, SCALE_SHIFT)
    check_config(config | {'num_class_embeds': 3, 'sample_size': 32}, SCALE_SHIFT)
    with pytest.raises(UserError) as error:
        check_config(config | {'norm_num_groups': 4}, SCALE_SHIFT.clone(freq_shift=0))
    assert str(error.value) == (
        'the UNet is another one: freq_shift is 1 there and 0 here; norm_num_groups is 4 there and'
        ' 2 here'
    )


def test_blocks_with_embedders_of_their_own_are_refused():
    state = diffusers_dit()
    state['transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias'] += 1
    with pytest.raises(UserError, match='the time embedding is not the same in all blocks'):
        from_diffusers(state, DIT)


@pytest.mark.parametrize('name', NETWORKS)
def test_outputs_are_those_of_the_installed_diffusers(name, tmp_path):
    for library in ('torch', 'diffusers'):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f'{library} is not installed')
    command = [sys.executable, FIXTURES / 'make_diffusers.py', tmp_path / 'new.npz']
    subprocess.run(command, check=True)
    _compare(_load(tmp_path / 'new.npz'), name)


def test_outputs_of_a_transformer_are_those_of_the_installed_diffusers(tmp_path):
    for library in ('torch', 'diffusers'):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f'{library} is not installed')
    command = [sys.executable, FIXTURES / 'make_dit.py', tmp_path / 'new.npz']
    subprocess.run(command, check=True)
    _compare_dit(_load(tmp_path / 'new.npz'))


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
