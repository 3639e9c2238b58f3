"""Plans by the real compiler for TPUs, on a machine without one."""

import importlib.util
import json
import subprocess
import sys

import pytest

from genjax.cli import main
from genjax.planning import topology

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec('libtpu') is None, reason="needs libtpu: the extra 'tpu'"
    ),
    pytest.mark.slow,
]

VAE = [
    'plan',
    '--config=configs/digits/vae.py',
    '--quick',
    '--config.steps_per_call=1',
    '--config.model.encoder.features=(1024,1024)',
    '--config.model.decoder.features=(1024,1024)',
]


def plan(capsys, *words):
    assert main([*VAE, *words, '--json']) == 0
    return json.loads(capsys.readouterr().out)


def test_two_slices(capsys):
    """What crosses from slice to slice is a part of the gradient."""
    answer = plan(
        capsys, '--topology=v5e:2x2', '--slices=2', '--config.batch_size=64', '--config.mesh.fsdp=2'
    )
    made = answer['plan']
    assert made['fits'] and made['mesh'] == {'data': 4, 'fsdp': 2, 'tensor': 1}
    sent = {c['kind']: c['bytes'] for c in made['collectives']}
    network = sum(size for kind, size in sent.items() if kind.startswith('dcn'))
    # Each chip has half of the parameters, and of their gradients, reduced within its slice over
    # two chips, a half.
    assert network == pytest.approx(made['memory']['arguments']['parameters'] / 2, rel=0.1)
    bound = made['bound']
    assert bound['seconds'] == max(
        bound[name] for name in ('compute', 'interconnect', 'network', 'memory')
    )
    assert bound['compute'] == pytest.approx(made['flops']['hardware'] / 8 / 197e12)
    assert 0 < made['mfu'] < 1


def test_what_does_not_fit_names_the_largest_micro_batch_that_does(capsys):
    batch_size = 4 * 1021 * 2053  # few divisors to try
    words = ['--topology=v5e:2x2', f'--config.batch_size={batch_size}']
    assert main([*VAE, *words, '--json']) == 2
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer['plan']['fits'] is False
    assert answer['plan']['refusal']['needed'] > 16 * 2**30
    largest = answer['largest']
    assert largest['micro_batch'] * largest['accumulate'] * 4 == batch_size
    assert f'--config.accumulate={largest["accumulate"]}' in err
    fitting = plan(capsys, *words, f'--config.accumulate={largest["accumulate"]}')
    assert fitting['plan']['fits']


def test_search_ranks_what_fits(capsys):
    answer = plan(capsys, '--topology=v5e:2x2', '--config.batch_size=8', '--search')
    bounds = [choice['bound']['seconds'] for choice in answer['search']]
    assert bounds == sorted(bounds)
    meshes = [tuple(choice['mesh'].values()) for choice in answer['search']]
    assert sorted(meshes) == [(1, 4, 1), (2, 2, 1), (4, 1, 1)]  # nothing to split over tensor
    assert all(choice['fits'] for choice in answer['search'])


def test_long_sequences_take_splash_attention_on_the_share_of_each_device():
    """Sequences of 1,156 and 1,100 are padded to blocks of 512 and 384."""
    name = 'v5e:2x2'
    ended = subprocess.run(
        [sys.executable, '-m', 'tests.planning.splash_step', name],
        env=topology.environment(topology.parse(name)) | {'JAX_OPTIMIZATION_LEVEL': 'O1'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    kernels, taken = ('dkv', 'dq', 'fwd'), 'splash (bfloat16 on a TPU)'
    assert json.loads(ended.stdout) == {
        'dit': [taken, *([kernel, '4,1,1536,64'] for kernel in kernels)],
        'gpt': [taken, *([kernel, '2,2,1152,64'] for kernel in kernels)],
    }
