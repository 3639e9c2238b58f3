"""Searches for the mesh with the smallest lower bound on step time, and for the largest micro-batch
that fits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError
from genjax.hardware.chips import Chip
from genjax.planning.plan import Plan
from genjax.training.experiment import experiment_of
from genjax.training.layout import bytes_per_device, layouts
from genjax.training.programs import Example, Programs

REMAT = ('none', 'dots', 'full')
MOST_TENSOR = 8  # more would exceed the heads of most transformers, and traffic dominates


@dataclass(frozen=True)
class Choice:
    """Overrides of config fields, by path, and the resulting plan."""

    fields: dict[str, Any]
    plan: Plan


def largest_micro_batch(
    config: ConfigDict, shares: int, plan: Callable[[ConfigDict], Plan]
) -> Choice | None:
    """Returns the fewest micro-batches that fit, by bisection; None if none fits.

    Args:
        config: config of a run that does not fit.
        shares: number of devices over which the batch is sharded.
        plan: plans a config.
    """
    whole = config.batch_size // shares
    counts = [n for n in range(1, whole + 1) if whole % n == 0 and n > config.accumulate]
    found = None
    while counts:
        middle = len(counts) // 2
        fields = {'accumulate': counts[middle]}
        tried = plan(configs.with_fields(config, fields))
        if tried.fits is False:
            counts = counts[middle + 1 :]
        else:
            found, counts = Choice(fields, tried), counts[:middle]
    return found


def search(
    config: ConfigDict,
    shapes: Example,
    devices: list,
    slices: int,
    chip: Chip,
    plan: Callable[[ConfigDict], Plan],
    report: Callable[[str], None],
) -> list[Choice]:
    """Ranks all meshes of a slice by their bound, fastest first, each with the least recomputation
    and the fewest micro-batches that fit.

    Meshes whose state alone does not fit are skipped without compiling.
    """
    remat = [path for path, _ in configs.leaves(config) if path.split('.')[-1] == 'remat']
    meshes = list(_meshes(config, shapes, devices, slices, chip))
    found = []
    for number, mesh in enumerate(meshes):
        for policy in REMAT if remat else ('',):
            report(f'mesh {number + 1} of {len(meshes)}: {_words(mesh)} {policy}')
            fields = {**mesh, **dict.fromkeys(remat, policy)}
            choice = _fewest_micro_batches(configs.with_fields(config, fields), fields, plan)
            if choice:
                found.append(choice)
                break
    return sorted(found, key=lambda choice: choice.plan.bound.seconds)


def _fewest_micro_batches(
    config: ConfigDict, fields: dict[str, Any], plan: Callable[[ConfigDict], Plan]
) -> Choice | None:
    """Returns the first choice that fits.

    Needing k times the available memory takes at least k times the micro-batches: temporaries
    shrink no faster than the micro-batch.
    """
    least = 1
    for accumulate in _divisors(config.batch_size // (config.mesh.data * config.mesh.fsdp)):
        if accumulate < least:
            continue
        choice = {**fields, 'accumulate': accumulate}
        tried = plan(configs.with_fields(config, choice))
        if tried.fits:
            return Choice(choice, tried)
        if tried.refusal.needed:
            least = accumulate * tried.refusal.needed / tried.refusal.available
    return None


def _words(mesh: dict[str, int]) -> str:
    return ' '.join(f'{name.removeprefix("mesh.")}={n}' for name, n in mesh.items())


def _meshes(
    config: ConfigDict, shapes: Example, devices: list, slices: int, chip: Chip
) -> Iterator[dict[str, int]]:
    count = len(devices)
    for tensor in _divisors(min(count, MOST_TENSOR)):
        for fsdp in _divisors(count // slices):
            if count % (fsdp * tensor * slices):
                continue
            mesh = {
                'mesh.data': count // (fsdp * tensor),
                'mesh.fsdp': fsdp,
                'mesh.tensor': tensor,
            }
            try:
                candidate = {**mesh, 'accumulate': 1}
                experiment = experiment_of(configs.with_fields(config, candidate))
                state = Programs.of(experiment, shapes, devices).state
            except UserError:  # the batch or the model does not divide
                continue
            split = {axis for entry in layouts(state.variables['params']) for axis in entry.axes}
            used = {axis for axis, n in (('fsdp', fsdp), ('tensor', tensor)) if n > 1}
            if used <= split and bytes_per_device(state) < chip.memory:
                yield mesh


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
