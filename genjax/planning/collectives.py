"""Counts the collective communication of a compiled program from its HLO text."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
"""XLA's names; transfers between slices or servers have a prefix: `dcn all-reduce`."""

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
_IOTA = r'\[([\d,]+)\](?:T\(([\d,]+)\))?'


@dataclass(frozen=True)
class Collective:
    """All transfers of one kind in one execution of the program.

    Attributes:
        kind: one of `KINDS`, or with the prefix 'dcn ' for transfers to other slices or servers.
        count: number of transfers, each multiplied by the trip counts of its loops.
        bytes: lower bound on the bytes that each device sends for them.
    """

    kind: str
    count: int
    bytes: int

    @property
    def between_slices(self) -> bool:
        """Returns whether these use the data-centre network, not the links within a slice or
        server.
        """
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


def collectives_of(
    hlo: str, slices: int = 1, server: int | None = None
) -> tuple[tuple[Collective, ...], frozenset[str]]:
    """Counts the collectives in the optimised HLO of a program, `compiled.as_text()`.

    An all-reduce of S bytes over n devices makes each send at least 2 (n - 1) / n S, a gather or
    scatter half as much.

    Args:
        hlo: the program.
        slices: number of slices; their compiler writes transfers between them apart.
        server: number of successive devices in a server; None: all. A transfer is split into the
            least that must cross between servers and the rest within them.

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
            for transfer in _transfers(i, body, scatters, slices, server):
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
    i: _Instruction,
    body: dict[str, _Instruction],
    scatters: bool,
    slices: int,
    server: int | None,
) -> Iterator[Collective]:
    kind = i.operation.removesuffix('-start')
    if i.operation == 'send' and 'xla_megascale' in i.rest:
        name = re.search(r'_xla_megascale_transfer_type="(\w+)"', i.rest)
        name = name[1].lower().replace('_', '-') if name else 'send'
        yield Collective(f'dcn {name}', 1, _sent(name, _input_bytes(i, body), slices))
    elif kind in KINDS:
        if kind == 'all-reduce' and scatters:
            kind = 'reduce-scatter'
        groups = _groups(i.rest)
        size = groups.shape[1]
        if size > 1:
            sent = _sent(kind, _input_bytes(i, body), size)
            between = round(sent * _crossing(kind, groups, server))
            if between:
                yield Collective(f'dcn {kind}', 1, between)
            if sent > between:
                yield Collective(kind, 1, sent - between)


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


def _crossing(kind: str, groups: np.ndarray, server: int | None) -> float:
    """Computes the least share of a transfer's bytes that goes between servers of `server` devices.

    Of n devices in m servers, each gathers n - 1 parts; one of them per other server must come by
    the network, the others from the devices beside it. Reductions are gathers in reverse.
    """
    if server is None:
        return 0.0
    place = groups // server
    if kind == 'collective-permute':
        return float(np.mean(place[:, 0] != place[:, 1]))
    size, servers = groups.shape[1], max(len(set(row)) for row in place.tolist())
    if kind == 'all-to-all':
        return (size - size / servers) / (size - 1)
    return (servers - 1) / (size - 1)


def _groups(attributes: str) -> np.ndarray:
    """Devices [groups, size] of each transfer."""
    if pairs := re.search(r'source_target_pairs=\{\{(.*?)\}\}', attributes):
        return _listed(pairs[1])
    if listed := re.search(r'replica_groups=\{\{(.*?)\}\}', attributes):
        return _listed(listed[1])
    if iota := re.search(rf'replica_groups=\[([\d,]+)\]<={_IOTA}', attributes):
        return _ordered(iota[2], iota[3]).reshape(_numbers(iota[1]))
    if mesh := re.search(r'replica_groups=mesh\[([^\]]*)\](.*?)\{([^}]*)\}', attributes):
        order = re.search(rf'device_ids=\({_IOTA}\)', mesh[2])
        return _along(mesh[1], mesh[3], _ordered(*order.groups()) if order else None)
    return np.zeros((1, 1), int)


def _along(mesh: str, axes: str, devices: np.ndarray | None) -> np.ndarray:
    """Groups of a mesh `'data'=4,'fsdp'=2` along axes, whole or in part: `'data':(2)2` is the part
    of size 2 inside of 2. `devices` of the mesh, in order; None: 0, 1, ….
    """
    sizes, inner = [], []
    parts = {name: (before, size) for name, before, size in
             re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", axes)}  # fmt: skip
    for name, text in re.findall(r"'([^']+)'=(\d+)", mesh):
        whole = int(text)
        before, size = parts.get(name, ('', ''))
        before, size = (int(before), int(size)) if size else (1, whole)
        inner += [len(sizes) + 1] if name in parts else []
        sizes += [before, size, whole // (before * size)]
    if devices is None:
        devices = np.arange(math.prod(sizes))
    outer = [d for d in range(len(sizes)) if d not in inner]
    size = math.prod(sizes[d] for d in inner)
    return devices.reshape(sizes).transpose(outer + inner).reshape(-1, size)


def _ordered(sizes: str, order: str | None) -> np.ndarray:
    """The devices of `[4,2]T(1,0)`: 0 to 7 as an array of these sizes, transposed."""
    devices = np.arange(math.prod(_numbers(sizes))).reshape(_numbers(sizes))
    return devices.transpose(_numbers(order)) if order else devices


def _listed(text: str) -> np.ndarray:
    return np.array([_numbers(group) for group in text.split('},{')])


def _numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(',') if n]


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
