"""Values of the JSON files of runs, which anybody may have written: their types are checked, and
text is made `plain`. The `as_…` raise TypeError.
"""

import json
import math
from pathlib import Path
from typing import Any

from genjax.errors import UserError, plain


def as_finite(value: float | None) -> float | None:
    """Returns a number; None where it is not finite."""
    return as_number(value) if value is not None and math.isfinite(value) else None


def as_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f'{value!r} is not a number')
    return value


def as_whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f'{value!r} is not a number of steps')
    return value


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f'{value!r} is not text')
    return value


def hashable(value: Any) -> Any:
    """Converts a value to a hashable one."""
    if isinstance(value, dict):
        return tuple((name, hashable(item)) for name, item in value.items())
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def read_json(path: Path) -> Any:
    """Content of a JSON file, with all text `plain`."""
    try:
        return _made_plain(json.loads(path.read_text('utf-8')))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'cannot read {path}: {error}') from None


def _made_plain(data: Any) -> Any:
    if isinstance(data, str):
        return plain(data)
    if isinstance(data, list):
        return list(map(_made_plain, data))
    if isinstance(data, dict):
        return {plain(name): _made_plain(value) for name, value in data.items()}
    return data
