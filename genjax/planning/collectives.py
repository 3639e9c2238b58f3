"""Counts the collective communication of a compiled program from its HLO text."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
"""XLA's names; transfers between slices have a prefix: `dcn all-reduce`."""

_BYTES = {
    'pred': 1, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2, 'f16': 2, 'bf16': 2, 's32': 4, 'u32': 4,
    'f32': 4, 's64': 8, 'u64': 8, 'f64': 8, 'c64': 8, 'c128': 16,
}  # fmt: skip

_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\) -> .* \{$')
_INSTRUCTION = re.compile(
    r'^\s+(?:ROOT )?%?([\w.-]+) = (\(.*?\)|[\w\[\],]+(?:\{.*?\})?) ([\w-]+)\((.*)'
)
_ARRAY = re.compile(r'(\w+)\[([\d,]*)\]')
_OPERAND = re.compile(r'%([\w.-]+)')


@dataclass(frozen=True)
class Collective:
    """All transfers of one kind in one execution of the program.

    Attributes:
        kind: one of `KINDS`, or with the prefix 'dcn ' for transfers to other slices.
        count: number of transfers, each multiplied by the trip counts of its loops.
        bytes: lower bound on the bytes that each device sends for them.
    """

    kind: str
    count: int
    bytes: int

    @property
    def between_slices(self) -> bool:
        """Returns whether these use the data-centre network, not the links within a slice."""
        return self.kind.startswith('dcn ')


@dataclass(frozen=True)
class _Instruction:
    name: str
    type: str
    operation: str
    rest: str

    @property
    def operands(self) -> list[str]:
        inside = self.rest[: self.rest.index(')')] if ')' in self.rest else self.rest
        return _OPERAND.findall(inside)

    def called(self, attributes: str = 'body|calls|to_apply|branch_computations') -> list[str]:
        """Names of the computations in attributes: `body=%b`, `branch_computations={%a, %b}`."""
        found = re.findall(rf'\b(?:{attributes})=(\{{[^}}]*\}}|%[\w.-]+)', self.rest)
        return [name for names in found for name in _OPERAND.findall(names)]


def collectives_of(hlo: str, slices: int = 1) -> tuple[tuple[Collective, ...], frozenset[str]]:
    """Counts the collectives in the optimised HLO of a program, `compiled.as_text()`.

    An all-reduce of S bytes over n devices makes each send at least 2 (n - 1) / n S, a gather or
    scatter half as much.

    Returns:
        The transfers by kind, most bytes first, and notes on transfers not fully counted.
    """
    computations, entry = _parse(hlo)
    sums: dict[str, tuple[int, float]] = {}
    seen, notes = set(), set()

    def visit(name: str, times: int) -> bool:
        """Adds up a computation that runs `times` times; returns whether it has transfers."""
        any_found = False
        body = computations.get(name, {})
        scatters = 'all-reduce-scatter' in name  # XLA's fused reduce-scatter
        for i in body.values():
            for transfer in _transfers(i, body, scatters, slices):
                channel = re.search(r'channel_id=(\d+)', i.rest)
                key = (channel[1] if channel else i.name, transfer.kind)
                if key not in seen:  # asynchronous transfers appear in several computations
                    count, size = sums.get(transfer.kind, (0, 0))
                    sums[transfer.kind] = (count + times, size + times * transfer.bytes)
                    any_found = True
                seen.add(key)
            turns = _trip_count(i, body, computations) if i.operation == 'while' else 1
            inside = [visit(called, times * (turns or 1)) for called in i.called()]
            if turns is None and any(inside):
                notes.add('transfers in loops of unknown length, counted as one turn')
            any_found = any_found or any(inside)
        return any_found

    visit(entry, 1)
    found = [Collective(kind, count, size) for kind, (count, size) in sums.items()]
    return tuple(sorted(found, key=lambda c: -c.bytes)), frozenset(notes)


def _parse(hlo: str) -> tuple[dict[str, dict[str, _Instruction]], str]:
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current = '', {}
    for line in hlo.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations[header[2]] = {}
            entry = header[2] if header[1] else entry
        elif found := _INSTRUCTION.match(line):
            current[found[1]] = _Instruction(*found.groups())
    return computations, entry


def _transfers(
    i: _Instruction, body: dict[str, _Instruction], scatters: bool, slices: int
) -> Iterator[Collective]:
    kind = i.operation.removesuffix('-start')
    if i.operation == 'send' and 'xla_megascale' in i.rest:
        name = re.search(r'_xla_megascale_transfer_type="(\w+)"', i.rest)
        name = name[1].lower().replace('_', '-') if name else 'send'
        yield Collective(f'dcn {name}', 1, _sent(name, _input_bytes(i, body), slices))
    elif kind in KINDS:
        if kind == 'all-reduce' and scatters:
            kind = 'reduce-scatter'
        size = _group_size(i.rest)
        if size > 1:
            yield Collective(kind, 1, _sent(kind, _input_bytes(i, body), size))


def _sent(kind: str, size: int, group: int) -> int:
    """Bytes that each of `group` devices must send when each puts in `size`."""
    share = (group - 1) / group
    factor = {'all-reduce': 2 * share, 'all-gather': group - 1, 'reduce-scatter': share,
              'all-to-all': share}  # fmt: skip
    return round(size * factor.get(kind, 1))


def _input_bytes(i: _Instruction, body: dict[str, _Instruction]) -> int:
    names = i.operands[:1] if i.operation == 'send' else i.operands
    return sum(_type_bytes(body[name].type) for name in names if name in body)


def _type_bytes(text: str) -> int:
    return sum(
        _BYTES.get(kind, 1) * math.prod(int(n) for n in shape.split(',') if n)
        for kind, shape in _ARRAY.findall(re.sub(r'\{[^}]*\}', '', text))
    )


def _group_size(attributes: str) -> int:
    """Number of devices in one transfer."""
    if 'source_target_pairs' in attributes:
        return 2
    if listed := re.search(r'replica_groups=\{\{([\d,]*)\}', attributes):
        return len(listed[1].split(','))
    if iota := re.search(r'replica_groups=\[(\d+),(\d+)\]<=', attributes):
        return int(iota[2])
    if mesh := re.search(r'replica_groups=mesh\[([^\]]*)\].*?\{([^}]*)\}', attributes):
        sizes = {axis: int(n) for axis, n in re.findall(r"'([^']+)'=(\d+)", mesh[1])}
        axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh[2])  # whole axes, or parts of them
        return math.prod(int(part) if part else sizes[axis] for axis, part in axes)
    return 1


def _trip_count(
    i: _Instruction,
    around: dict[str, _Instruction],
    computations: dict[str, dict[str, _Instruction]],
) -> int | None:
    """Trip count of a loop; None if unknown.

    Read from an attribute, or derived from `counter < bound` in the condition, `counter + step` in
    the body and the counter's initial value. XLA may unroll loops by two and peel the first
    iteration.
    """
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', i.rest):
        return int(known[1])
    condition, body = (computations.get(n, {}) for n in i.called('condition') + i.called('body'))
    compared = [c for c in condition.values() if c.operation == 'compare']
    if len(compared) != 1 or 'direction=LT' not in compared[0].rest or not body:
        return None
    counter = next((_element(name, condition) for name in compared[0].operands), None)
    before, after = around.get(i.operands[0]), [*body.values()][-1]
    if counter is None or not before or before.operation != 'tuple':
        return None
    start = _constant(before.operands[counter : counter + 1], around)
    update = body.get(after.operands[counter])
    step = _constant(update.operands, body) if update and update.operation == 'add' else None
    bound = _constant(compared[0].operands, condition)
    if None in (start, step, bound):
        return None
    return max(0, -((start - bound) // step))


def _constant(names: list[str], computation: dict[str, _Instruction]) -> int | None:
    """The first of these instructions that is an integer constant, or a copy of one."""
    for name in names:
        found = computation.get(name)
        while found and found.operation == 'copy':
            found = computation.get(found.operands[0])
        if found and found.operation == 'constant':
            return int(found.rest.split(')')[0])
    return None


def _element(name: str, computation: dict[str, _Instruction]) -> int | None:
    """Index of the tuple element that an instruction extracts."""
    found = computation.get(name)
    index = re.search(r'index=(\d+)', found.rest) if found else None
    return int(index[1]) if index else None
