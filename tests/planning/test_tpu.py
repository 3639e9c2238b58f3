"""Plans by the real compiler for TPUs, on a machine without one."""

import importlib.util
import json

import pytest

from genjax.cli import main

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec('libtpu') is None, reason="needs libtpu: the extra 'tpu'"
    ),
    pytest.mark.slow,
]

DIT = [
    'plan',
    '--config=configs/imagenet256/dit_xl2.py',
    '--quick',
    '--config.model.network.features=256',
    '--config.model.network.num_layers=2',
    '--config.model.network.num_heads=4',
]


def plan(capsys, *words):
    assert main([*DIT, *words, '--json']) == 0
    return json.loads(capsys.readouterr().out)


def test_two_slices(capsys):
    """What crosses from slice to slice is a part of the gradient."""
    answer = plan(
        capsys, '--topology=v5e:2x2', '--slices=2', '--config.batch_size=64', '--config.mesh.fsdp=2'
    )
    made = answer['plan']
    assert answer['data_missing'] is None  # the config says what its codes look like
    assert made['fits'] and made['mesh'] == {'data': 4, 'fsdp': 2, 'tensor': 1}
    sent = {c['kind']: c['bytes'] for c in made['collectives']}
    network = sum(size for kind, size in sent.items() if kind.startswith('dcn'))
    # bfloat16 gradients of a quarter of the parameters, if all were reduced within a slice before
    parameters = made['memory']['arguments']['parameters']
    assert 0.5 < network / (parameters * 2 / 2 / 2) < 2
    bound = made['bound']
    assert bound['seconds'] == max(
        bound[name] for name in ('compute', 'interconnect', 'network', 'memory')
    )
    assert bound['compute'] == pytest.approx(made['flops']['hardware'] / 8 / 197e12)
    assert 0 < made['mfu'] < 1


def test_what_does_not_fit_names_the_largest_micro_batch_that_does(capsys):
    words = ['--topology=v5e:2x2', '--config.batch_size=32768', '--config.model.network.remat=none']
    assert main([*DIT, *words, '--json']) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer['plan']['fits'] is False
    assert answer['plan']['refusal']['needed'] > 16 * 2**30
    largest = answer['largest']
    assert largest['micro_batch'] * largest['accumulate'] * 4 == 32768
    assert f'--config.accumulate={largest["accumulate"]}' in err
    fitting = plan(capsys, *words, f'--config.accumulate={largest["accumulate"]}')
    assert fitting['plan']['fits']


def test_search_ranks_what_fits(capsys):
    answer = plan(capsys, '--topology=v5e:2x2', '--config.batch_size=8', '--search')
    bounds = [choice['bound']['seconds'] for choice in answer['search']]
    assert bounds == sorted(bounds)
    meshes = [tuple(choice['mesh'].values()) for choice in answer['search']]
    assert len(set(meshes)) == len(meshes) > 3
    assert all(choice['fits'] for choice in answer['search'])
