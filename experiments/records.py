"""Stores results of studies in JSON files and formats cells of their tables."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.files import replacing, write_json


def once(path: Path, measure: Callable[..., Any], *args: Any) -> Any:
    """Returns the content of a JSON file; if there is none, keeps what `measure(*args)` returns."""
    if not path.exists():
        write_json(path, measure(*args))
    return json.loads(path.read_text())


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Writes a JSON list with a row a line; whole, or the file stays as it was."""
    lines = ',\n'.join(map(json.dumps, rows))
    with replacing(path) as temporary:
        temporary.write_text(f'[\n{lines}\n]\n')


def spread(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """Formats mean ± standard deviation for a table; of a single value, that alone."""
    around = f' ± {np.std(values, ddof=1):.{digits}f}' if len(values) > 1 else ''
    return f'{np.mean(values):.{digits}f}{around}'
