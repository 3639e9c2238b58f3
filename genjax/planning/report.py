"""Formats plans as text."""

from collections.abc import Iterator, Mapping
from typing import Any

Answer = Mapping[str, Any]


def lines(answer: Answer, layout: bool = False) -> Iterator[str]:
    """Lines that `genjax plan` prints for the answer of a planning process."""
    plan = answer['plan']
    if layout:
        for entry in plan['layout']:
            axes = ', '.join('x'.join(_axes(axis)) or '-' for axis in entry['axes'])
            size = bytes_(entry['bytes_per_device'])
            yield f'  {entry["name"]}  {entry["dtype"]}{entry["shape"]}  ({axes})  {size}'
    yield from _about(answer)
    mesh = ' x '.join(f'{axis}={n}' for axis, n in plan['mesh'].items())
    micro = plan['micro_batch']
    at_a_time = f', {micro:,} on a device at a time' if micro else ''
    yield _line('mesh', f'{mesh}; {plan["examples"]:,} examples{at_a_time}')
    yield _line('fits', _fits(answer))
    if plan['memory']:
        yield from _memory(plan['memory'])
    work = plan['flops']
    again = f', and {flops(work["recomputed"])} recomputed' if work['recomputed'] else ''
    yield _line('work', f'{flops(work["model"])} of the model{again}, over all devices')
    if plan['attention']:
        yield _line('attention', ', '.join(plan['attention']))
    for number, c in enumerate(plan['collectives']):
        name = 'transfers' if number == 0 else ''
        yield _line(name, f'{c["kind"]:18}  {c["count"]:6,} x  {bytes_(c["bytes"]):>10} a device')
    if plan['bound']:
        yield from _bound(plan)
    if plan['estimated']:
        yield _line('exact', 'arguments, layout and work')
        yield _line(
            'estimated', 'temporaries and the choice of transfers: of the compiler for CPUs, which'
            " computes bfloat16 in float32, and attention in chunks in place of cuDNN's"
        )  # fmt: skip
    for note in plan['notes']:
        yield _line('not in it', note)


def overrides(fields: Mapping[str, Any]) -> str:
    """Returns fields of a config as words for the command line."""
    return ' '.join(f'--config.{name}={value}' for name, value in fields.items())


def ranking(answer: Answer) -> Iterator[str]:
    """The result of a search as a table, best first."""
    yield from _about(answer)
    if not answer['search']:
        yield 'nothing fits: no mesh, however it recomputes and accumulates'
        return
    yield f'{"at least":>10}  {"MFU at most":>11}  {"memory":>10}  fields'
    for choice in answer['search']:
        fields = ' '.join(f'--config.{path}={value}' for path, value in choice['fields'].items())
        yield (
            f'{seconds(choice["bound"]["seconds"]):>10}  {100 * choice["mfu"]:>10.1f}%'
            f'  {bytes_(choice["memory"]["total"]):>10}  {fields}'
        )


def bytes_(n: float) -> str:
    """Bytes in the largest unit with a value of at least one."""
    return _scaled(n, 1024, ('B', 'KiB', 'MiB', 'GiB', 'TiB'))


def flops(n: float) -> str:
    """FLOPs in the largest unit with a value of at least one."""
    return _scaled(n, 1000, ('FLOP', 'KFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP', 'EFLOP'))


def _scaled(n: float, step: int, units: tuple[str, ...]) -> str:
    power = 0
    while n >= step and power < len(units) - 1:
        n, power = n / step, power + 1
    return f'{n:.0f} {units[power]}' if n >= 100 else f'{n:.3g} {units[power]}'


def seconds(n: float) -> str:
    """Seconds or milliseconds."""
    return f'{n:.3g} s' if n >= 1 else f'{1000 * n:.3g} ms'


def _line(name: str, text: str) -> str:
    return f'{name:12}{text}'


def _axes(axis: Any) -> list[str]:
    return [] if axis is None else [axis] if isinstance(axis, str) else list(axis)


def _about(answer: Answer) -> Iterator[str]:
    shapes = ', '.join(f'{name} {kind}' for name, kind in answer['shapes'].items())
    if answer['data_missing']:
        yield _line('data', f'not here ({answer["data_missing"]}); as the model expects: {shapes}')
    else:
        yield _line('data', shapes)


def _fits(answer: Answer) -> str:
    plan, chip = answer['plan'], answer['chip']
    about = ', if temporaries are as estimated' if plan['estimated'] else ''
    if plan['fits'] is None:
        return f'unknown: nothing is known of a {plan["device_kind"]}'
    if plan['fits']:
        return f'yes: {bytes_(plan["memory"]["total"])} of {bytes_(chip["memory"])}{about}'
    return f'no: {plan["refusal"]["words"]}{about}'


def _memory(memory: Mapping[str, Any]) -> Iterator[str]:
    parts = {
        **memory['arguments'],
        'padding': max(0, memory['held'] - sum(memory['arguments'].values())),
        'temporaries': memory['temporaries'],
        'results': memory['results'],
        'program': memory['code'],
    }
    yield _line('memory', f'{bytes_(memory["total"])} a device')
    for name, size in parts.items():
        if size:
            yield _line('', f'{name:12}{bytes_(size):>10}')
    if memory['host']:
        yield _line('', f'{"on the host":12}{bytes_(memory["host"]):>10}')


def _bound(plan: Mapping[str, Any]) -> Iterator[str]:
    bound = plan['bound']
    parts = ', '.join(
        f'{name} {seconds(bound[name])}'
        for name in ('compute', 'interconnect', 'network', 'memory')
        if bound[name]
    )
    yield _line('at least', f'{seconds(bound["seconds"])}: the largest of {parts}')
    yield _line(
        'at most', f'{1 / bound["seconds"]:.4g} times a second, {100 * plan["mfu"]:.1f} % MFU'
    )
