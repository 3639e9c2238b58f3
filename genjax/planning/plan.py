"""What a program needs and takes on some devices: memory, work, transfers, and the least time."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from genjax.hardware.chips import Chip, chip_of
from genjax.hardware.flops import Flops, flops_of_jaxpr
from genjax.planning.collectives import Collective, collectives_of
from genjax.planning.programs import Program
from genjax.training.layout import Layout, bytes_per_device, layouts

_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclass(frozen=True)
class Memory:
    """Bytes on each device.

    Attributes:
        arguments: of the program, by what they are; they stay from step to step.
        held: by all arguments together, which the layouts of a TPU pad; less what is not used.
        temporaries: what the program needs while it runs, activations above all.
        results: that are not written in the place of arguments.
        code: of the program itself.
        host: of the arguments that lie in the memory of the host.
    """

    arguments: Mapping[str, int]
    held: int
    temporaries: int
    results: int
    code: int
    host: int

    @property
    def total(self) -> int:
        """All of them, on the device."""
        return self.held + self.temporaries + self.results + self.code


@dataclass(frozen=True)
class Bound:
    """The least seconds that one step takes, by resource: each lasts at least as long as a chip
    needs that does nothing else and does it at its peak. None where the chip's peak is unknown.

    Attributes:
        compute: products, recomputed ones too.
        interconnect: transfers within a slice, over all links at once.
        network: transfers between slices.
        memory: every argument is read and every result is written.
    """

    compute: float
    interconnect: float
    network: float | None
    memory: float

    @property
    def seconds(self) -> float:
        """The largest of them."""
        return max(self.compute, self.interconnect, self.network or 0.0, self.memory)


@dataclass(frozen=True)
class Refusal:
    """Why a program does not fit, by the compiler.

    Attributes:
        words: its own, shortened.
        needed: bytes that it needs on a device, for temporaries alone or in all; None where it does
            not say.
        available: bytes that there are.
    """

    words: str
    needed: float | None = None
    available: float | None = None


@dataclass(frozen=True)
class Plan:
    """A program on some devices.

    Attributes:
        devices: how many.
        device_kind: what they are.
        mesh: their arrangement, by axis.
        examples: that a step trains on (a call draws, judges).
        micro_batch: examples that a device works on at a time, in training.
        fits: whether the compiler finds room; None where no limit is known.
        refusal: the compiler's words when it does not.
        memory: None when it does not fit.
        flops: of a step on all devices together.
        collectives: of a step, by kind.
        bound: the least time of a step; None when the chip is unknown or it does not fit.
        mfu: the largest share of the chips' peak that the model can use, by that bound.
        layout: of every parameter.
        notes: what the figures leave out.
    """

    devices: int
    device_kind: str
    mesh: Mapping[str, int]
    examples: int
    micro_batch: int | None
    fits: bool | None
    refusal: Refusal | None
    memory: Memory | None
    flops: Flops
    collectives: tuple[Collective, ...]
    bound: Bound | None
    mfu: float | None
    layout: tuple[Layout, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; with the totals, which are properties."""
        plain = dataclasses.asdict(self)
        plain['layout'] = [entry._asdict() for entry in self.layout]
        plain['flops']['uncounted'] = sorted(self.flops.uncounted)
        plain['flops']['hardware'] = self.flops.hardware
        if self.memory:
            plain['memory']['total'] = self.memory.total
        if self.bound:
            plain['bound']['seconds'] = self.bound.seconds
        return plain


def make(program: Program, mesh: jax.sharding.Mesh, micro_batch: int | None = None) -> Plan:
    """Compiles a program and reads its figures."""
    count = mesh.size
    kind = mesh.devices.flat[0].device_kind
    chip = chip_of(kind)
    slices = len({getattr(device, 'slice_index', 0) for device in mesh.devices.flat})
    flops = flops_of_jaxpr(program.traced.jaxpr)
    notes = flops.uncounted | program.left_out
    memory, refusal, collectives, bound, mfu = None, None, (), None, None
    try:
        compiled = program.traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        refusal = refusal_of(str(error))
        if refusal is None:
            raise
    else:
        report = compiled.memory_analysis()
        memory = _memory(program.arguments, report)
        collectives, more = collectives_of(compiled.as_text(), slices)
        collectives = tuple(
            dataclasses.replace(
                c, count=-(-c.count // program.steps), bytes=c.bytes // program.steps
            )
            for c in collectives
        )
        notes |= more
        if chip:
            traffic = report.argument_size_in_bytes + report.output_size_in_bytes
            bound = _bound(chip, flops.hardware / program.steps / count, collectives, traffic)
            mfu = flops.model / program.steps / count / chip.flops / bound.seconds
    return Plan(
        devices=count,
        device_kind=kind,
        mesh=dict(mesh.shape),
        examples=program.examples // program.steps,
        micro_batch=micro_batch,
        fits=False if refusal else (True if chip else None),
        refusal=refusal,
        memory=memory,
        flops=flops // program.steps,
        collectives=collectives,
        bound=bound,
        mfu=mfu,
        layout=tuple(layouts(program.arguments['parameters'])),
        notes=tuple(sorted(notes)),
    )


def refusal_of(message: str) -> Refusal | None:
    """Reads an error of the compiler; None when it is not about memory."""
    size = r'([\d.]+)([KMGT])i?B?'
    for pattern in (rf'\({size}\) exceeds available HBM \({size}\)', rf'Used {size} of {size} hbm'):
        if found := re.search(pattern, message):
            needed, unit, available, other = found.groups()
            words = f'{needed} {unit}iB of {available} {other}iB'
            return Refusal(words, float(needed) * _UNITS[unit], float(available) * _UNITS[other])
    if 'RESOURCE_EXHAUSTED' in message or 'Ran out of memory' in message:
        return Refusal(message.splitlines()[0])
    return None


def _memory(arguments: Mapping[str, Any], report: Any) -> Memory:
    sizes = {name: bytes_per_device(tree) for name, tree in arguments.items()}
    sizes = {name: size for name, size in sizes.items() if size}
    host = report.host_argument_size_in_bytes
    if host and 'averages' in sizes:
        del sizes['averages']
    return Memory(
        arguments=sizes,
        held=report.argument_size_in_bytes,
        temporaries=report.temp_size_in_bytes,
        results=report.output_size_in_bytes - report.alias_size_in_bytes,
        code=report.generated_code_size_in_bytes,
        host=host,
    )


def _bound(chip: Chip, flops: float, collectives: Sequence[Collective], traffic: int) -> Bound:
    within = sum(c.bytes for c in collectives if not c.between_slices)
    between = sum(c.bytes for c in collectives if c.between_slices)
    return Bound(
        compute=flops / chip.flops,
        interconnect=within / chip.interconnect,
        network=between / chip.network if chip.network else None,
        memory=traffic / chip.memory_bandwidth,
    )
