"""Number of steps in a dispatch, where the config leaves it open."""

from collections.abc import Iterable

from genjax.hardware.chips import Chip, chip_of
from genjax.hardware.flops import flops_of_jaxpr
from genjax.training.experiment import Experiment
from genjax.training.layout import bytes_per_device
from genjax.training.programs import Programs

_MOST = 10
_SHORT = 2e-4
"""Seconds of a step, by the chip's peak, up to which launching it counts; real ones are longer."""


def steps_per_call(experiment: Experiment, programs: Programs, done: Iterable[int]) -> int:
    """Returns the number of steps per dispatch of a run on these devices.

    Longer steps gain nothing, and a run that is stopped would do the rest of the call first.

    Args:
        experiment: the experiment.
        programs: its programs, for one step a call.
        done: steps from which the run may resume.
    """
    chip = _gpu(programs)
    if experiment.steps_per_call is not None or chip is None:
        return experiment.calls
    flops = flops_of_jaxpr(programs.step.trace(programs.state, programs.batch).jaxpr)
    compute = flops.hardware / programs.mesh.size / chip.flops
    if max(compute, 2 * bytes_per_device(programs.state) / chip.memory_bandwidth) > _SHORT:
        return 1
    periods = [
        experiment.steps, experiment.checkpoint_every, experiment.sample_every, *done,
        *(evaluator.every for evaluator in experiment.evals.values()),
    ]  # fmt: skip
    return max(n for n in range(1, _MOST + 1) if all(period % n == 0 for period in periods))


def _gpu(programs: Programs) -> Chip | None:
    """Returns the specification of the GPUs; None for other or unknown devices."""
    device = programs.mesh.devices.flat[0]
    return chip_of(device.device_kind) if device.platform == 'gpu' else None
