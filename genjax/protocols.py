"""Protocols: the choices that a result depends on, as text that travels with it.

    features=data; split=test; examples=500; samples=500; seed=0 [1f0c2d9a7b3e]

Results of different protocols are not compared.
"""

import hashlib
from collections.abc import Mapping

from genjax.errors import UserError


def protocol(**fields: object) -> str:
    """Returns the choices as one line, with a hash of them at its end."""
    line = '; '.join(f'{name}={value}' for name, value in fields.items())
    return f'{line} [{hashlib.sha256(line.encode()).hexdigest()[:12]}]'


def fields_of(text: str) -> dict[str, str]:
    """Returns the fields of a protocol; {} for other text."""
    line, _, digest = text.rpartition(' [')
    if hashlib.sha256(line.encode()).hexdigest()[:12] != digest.removesuffix(']'):
        return {}
    return dict(part.split('=', 1) for part in line.split('; '))


def check_same(metric: str, protocols: Mapping[str, str]) -> None:
    """Refuses to compare results of different protocols; those of different seeds are repeats.

    Args:
        metric: name of the result, for the message.
        protocols: by the name of a run.

    Raises:
        UserError: naming two runs and the first field that differs.
    """
    fields = {name: fields_of(text) for name, text in protocols.items()}
    for found in fields.values():
        found.pop('seed', None)
    for name, found in fields.items():
        first, expected = next(iter(fields.items()))
        for field in dict.fromkeys([*expected, *found]):
            if expected.get(field) != found.get(field):
                raise UserError(
                    f'{metric} of {first} and {name} cannot be compared: {field} is'
                    f' {expected.get(field)!r} in one protocol and {found.get(field)!r} in the'
                    ' other; evaluate them alike with `genjax evaluate`'
                )
