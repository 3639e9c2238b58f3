"""`genjax plan`, in processes of its own."""

import json

import pytest

from genjax.cli import main

DIGITS = '--config=configs/digits/vae.py'


def failure(capsys, *words):
    assert main(['plan', *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ([DIGITS, '--topology=v5x:4x4'], "there is no topology 'v5x:4x4'; did you mean 'v5"),
        ([DIGITS, '--topology=cpu-4', '--slices=2'], 'cpu-N has none'),
        ([DIGITS, '--topology=cpu-4', '--program=smple'], 'invalid choice'),
        ([DIGITS, '--topology=cpu-4', '--program=sample', '--search'], 'arrange training alone'),
        ([DIGITS, '--topology=cpu-4', '--config.mesh.fdsp=2'], "did you mean 'mesh.fsdp'"),
        (['--topology=cpu-4'], 'required: --config'),
    ],
)
def test_mistakes_are_one_line(capsys, words, expected):
    assert expected in failure(capsys, *words)


@pytest.mark.slow
def test_a_plan_in_words(capsys):
    """Three devices: not those of this process."""
    words = ['plan', DIGITS, '--topology=cpu-3', '--quick', '--config.batch_size=96']
    words.append('--config.steps_per_call=1')
    assert main([*words, '--layout']) == 0
    shown = capsys.readouterr().out
    assert 'data=3 x fsdp=1 x tensor=1; 96 examples, 32 on a device at a time' in shown
    assert 'decoder/output/kernel  float32[200, 64]  (-, -)  50 KiB' in shown


@pytest.mark.full
def test_a_plan_as_json(capsys):
    words = ['plan', DIGITS, '--topology=cpu-3', '--quick', '--config.batch_size=96']
    words.append('--config.steps_per_call=1')
    assert main([*words, '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer['plan']['devices'] == 3
    assert answer['plan']['mesh'] == {'data': 3, 'fsdp': 1, 'tensor': 1}


@pytest.mark.full
def test_what_the_process_finds_wrong_is_one_line(capsys):
    assert 'does not fit 3 device(s)' in failure(
        capsys, DIGITS, '--topology=cpu-3', '--config.mesh.fsdp=2'
    )
    assert '--search and --fit need a chip' in failure(
        capsys, DIGITS, '--topology=cpu-3', '--search'
    )
