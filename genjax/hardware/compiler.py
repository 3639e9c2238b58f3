"""Options of XLA for the programs of a run, by platform."""

import os
from collections.abc import Sequence

import jax

Options = dict[str, bool | int]

_COMBINED = 128 * 2**20  # bytes of small transfers that become one

TRAINING: dict[str, Options] = {
    # docs.jax.dev/en/latest/gpu_performance_tips.html, and NVIDIA's JAX-Toolbox: send while others
    # compute, in an order that hides it. (XLA 0.12 no longer has options for pipelined transfers.)
    'gpu': {
        'xla_gpu_enable_latency_hiding_scheduler': True,
        'xla_gpu_all_gather_combine_threshold_bytes': _COMBINED,
        'xla_gpu_all_reduce_combine_threshold_bytes': _COMBINED,
        'xla_gpu_reduce_scatter_combine_threshold_bytes': _COMBINED,
    },
}
"""Options of a training step on several devices."""


def training_options(devices: Sequence[jax.Device]) -> Options | None:
    """Returns compiler options for a training step on these devices: those of their platform that
    `XLA_FLAGS` does not set; none for one device, which sends nothing.
    """
    if len(devices) == 1:
        return None
    given = os.environ.get('XLA_FLAGS', '')
    flags = {word.lstrip('-').partition('=')[0] for word in given.split()}
    options = TRAINING.get(devices[0].platform, {})
    return {name: value for name, value in options.items() if name not in flags} or None


def run_once_options(devices: Sequence[jax.Device]) -> Options | None:
    """Returns compiler options for a program that runs once on these devices. On a CPU, optimising
    the initialisation takes longer than running it unoptimised: several seconds for a small model.
    """
    return {'xla_backend_optimization_level': 0} if devices[0].platform == 'cpu' else None
