"""Compiler options: known to the installed XLA, and the user's come first."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from genjax.hardware.compiler import TRAINING, run_once_options, training_options


def devices(platform, num=2):
    return [SimpleNamespace(platform=platform)] * num


def test_xla_knows_the_options_for_gpus():
    """All builds of XLA parse the options of all but TPUs, and refuse what they do not know."""
    x = jnp.ones(2)
    jax.jit(jnp.sin, compiler_options=training_options(devices('gpu')))(x)
    with pytest.raises(Exception, match='No such compile option'):
        jax.jit(jnp.cos, compiler_options={'xla_gpu_enable_something': True})(x)


def test_what_the_user_sets_is_left_to_him(monkeypatch):
    monkeypatch.setenv(
        'XLA_FLAGS',
        '--xla_gpu_enable_latency_hiding_scheduler=false'
        ' --xla_gpu_all_gather_combine_threshold_bytes=1',
    )
    left = set(TRAINING['gpu']) - set(training_options(devices('gpu')))
    assert left == {
        'xla_gpu_enable_latency_hiding_scheduler', 'xla_gpu_all_gather_combine_threshold_bytes'
    }  # fmt: skip


def test_other_platforms_and_single_devices_have_none():
    assert training_options(devices('gpu', 1)) is None
    assert training_options(devices('cpu')) is training_options(devices('tpu')) is None
    assert run_once_options(devices('cpu')) and run_once_options(devices('gpu')) is None
