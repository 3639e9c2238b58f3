"""Plan of a program on given devices: memory, FLOPs, transfers, and a lower bound on time."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from genjax.hardware.chips import Chip
from genjax.hardware.flops import Flops, flops_of_jaxpr
from genjax.planning.collectives import Collective, collectives_of
from genjax.planning.programs import Program
from genjax.planning.topology import Topology
from genjax.training.layout import Layout, bytes_per_device, layouts

_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclass(frozen=True)
class Memory:
    """Bytes on each device.

    Attributes:
        arguments: program arguments by kind; they persist from step to step.
        held: all arguments together, with the padding of TPU layouts and without unused ones.
        temporaries: peak temporaries during execution, mostly activations.
        results: outputs that do not reuse the buffers of arguments.
        code: the program itself.
        host: arguments in host memory.
    """

    arguments: Mapping[str, int]
    held: int
    temporaries: int
    results: int
    code: int
    host: int

    @property
    def total(self) -> int:
        """Device memory in total."""
        return self.held + self.temporaries + self.results + self.code


@dataclass(frozen=True)
class Bound:
    """Lower bound on the seconds per step, by resource, each alone at its peak rate. None if the
    peak is unknown.

    Attributes:
        compute: products, recomputation included.
        interconnect: transfers within a slice, over all links at once.
        network: transfers between slices.
        memory: reading every argument and writing every result once.
    """

    compute: float
    interconnect: float
    network: float | None
    memory: float

    @property
    def seconds(self) -> float:
        """Lower bound: the slowest resource."""
        return max(self.compute, self.interconnect, self.network or 0.0, self.memory)


@dataclass(frozen=True)
class Refusal:
    """The compiler's out-of-memory report.

    Attributes:
        words: its message, shortened.
        needed: bytes needed on a device, for temporaries or in all; None if not reported.
        available: bytes available.
    """

    words: str
    needed: float | None = None
    available: float | None = None


@dataclass(frozen=True)
class Plan:
    """A program on given devices.

    Attributes:
        devices: number of devices.
        device_kind: JAX's name for the devices.
        mesh: size of each mesh axis.
        examples: examples per training step (or per call that samples or evaluates).
        micro_batch: examples per device and micro-batch, in training.
        fits: whether it fits in memory; None if the limit is unknown.
        refusal: the compiler's out-of-memory report, if any.
        memory: bytes per device; None if the compiler refuses.
        flops: FLOPs of a step, over all devices.
        collectives: transfers of a step, by kind.
        bound: lower bound on the time of a step; None for an unknown chip or if it does not fit.
        mfu: upper bound on the model FLOPs utilisation, by that time.
        layout: sharding of every parameter.
        attention: kinds of attention that the networks use, with reasons.
        estimated: whether another compiler stands in for that of the devices: temporaries, results
            and the choice of transfers are then its own.
        notes: work that the counts leave out.
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
    attention: tuple[str, ...]
    estimated: bool
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values, with the totals, which are properties."""
        plain = dataclasses.asdict(self)
        plain['layout'] = [entry._asdict() for entry in self.layout]
        plain['flops']['uncounted'] = sorted(self.flops.uncounted)
        plain['flops']['hardware'] = self.flops.hardware
        if self.memory:
            plain['memory']['total'] = self.memory.total
        if self.bound:
            plain['bound']['seconds'] = self.bound.seconds
        return plain


def make(
    program: Program,
    mesh: jax.sharding.Mesh,
    where: Topology,
    micro_batch: int | None = None,
    attention: Sequence[str] = (),
) -> Plan:
    """Compiles a program and analyses it."""
    count = mesh.size
    kind = mesh.devices.flat[0].device_kind
    chip = where.chip(kind)
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
        server = where.shape[0] if where.servers else None
        collectives, more = collectives_of(compiled.as_text(), slices, server)
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
        if where.servers and memory.total > chip.memory:  # the compiler for CPUs refuses nothing
            words = f'{memory.total / 2**30:.1f} GiB of {chip.memory / 2**30:.1f} GiB'
            refusal = Refusal(words, memory.total, chip.memory)
    return Plan(
        devices=count,
        device_kind=chip.name if where.servers else kind,
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
        attention=tuple(attention),
        estimated=bool(where.servers),
        notes=tuple(sorted(notes)),
    )


def refusal_of(message: str) -> Refusal | None:
    """Parses a compiler error; None if it is not about memory."""
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
