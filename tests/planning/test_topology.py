import importlib.util

import pytest

from genjax.errors import UserError
from genjax.planning import topology
from genjax.planning.topology import Topology, parse


def test_names():
    assert parse('v5e:16x16') == Topology('v5e', (16, 16))
    assert parse('v5p:4x4x4', slices=2).size == 128
    assert parse('cpu-8').size == 8
    assert parse('h200:8x4') == Topology('h200', (8, 4)) and parse('h200:8x4').servers == 4
    assert str(parse('a100:8')) == 'a100-80:8' and parse('h100:8').size == 8
    assert [str(parse(n, s)) for n, s in [('cpu-8', 1), ('v6e:8x8', 1), ('v5e:2x4', 3)]] == [
        'cpu-8',
        'v6e:8x8',
        '3 slices of v5e:2x4',
    ]


@pytest.mark.parametrize(
    ('name', 'slices', 'words'),
    [
        ('v5:16x16', 1, "did you mean 'v5"),
        ('h100-8', 1, 'there is no topology'),
        ('v5e', 1, 'it is like v5e:16x16'),
        ('v5e:4x4x4', 1, 'a v5e slice is like v5e:4x4'),
        ('v5p:4x4', 1, 'a v5p slice is like v5p:4x4x4'),
        ('v5e:axb', 1, 'a v5e slice is like'),
        ('v5e:32x32', 1, 'at most 256 chips; join several with --slices'),
        ('v5e:4x4', 0, '--slices must be at least 1'),
        ('cpu-8', 2, 'cpu-N has none'),
        ('h100:8', 2, 'h100:8x4 is four servers'),
        ('h100:16', 1, 'up to 8 GPUs in a server, as h100:8, and servers, as h100:8x4'),
        ('h100:8x4x2', 1, 'up to 8 GPUs in a server'),
        ('h10:8', 1, "did you mean 'h100'"),
        ('cpu-0', 1, 'there is no topology'),
    ],
)
def test_what_does_not_exist_is_one_line(name, slices, words):
    with pytest.raises(UserError, match=words):
        parse(name, slices)


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match=r"libtpu.*GENJAX_EXTRAS=tpu .*\[tpu\]'"):
        topology.environment(parse('v5e:2x2'))
    for name, num in (('cpu-4', 4), ('h100:8x4', 32)):  # no compiler for GPUs without one
        assert topology.environment(parse(name))['XLA_FLAGS'].endswith(f'={num}')


def test_the_environment_is_clean(monkeypatch):
    for name in ('SLURM_JOB_ID', 'TPU_WORKER_ID', 'JAX_COMPILATION_CACHE_DIR'):
        monkeypatch.setenv(name, '1')
    environment = topology.environment(parse('cpu-4'))
    assert not environment.keys() & {'SLURM_JOB_ID', 'TPU_WORKER_ID', 'JAX_COMPILATION_CACHE_DIR'}
    assert environment['JAX_ENABLE_COMPILATION_CACHE'] == 'false'
