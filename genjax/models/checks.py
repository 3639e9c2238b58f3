"""Range checks of numeric arguments."""

import math
from typing import Any

import jax
import numpy as np

from genjax.errors import UserError


def check_number(
    name: str, value: Any, low: float = 0.0, high: float = math.inf, *, above: bool = False
) -> None:
    """Checks that a number, or every element of an array, is finite and in [low, high].

    Traced arrays and values that are not numbers, such as schedules, pass.

    Args:
        name: name of the argument in the error.
        value: a number or an array.
        low: smallest allowed number.
        high: largest allowed number.
        above: exclude `low` itself.

    Raises:
        UserError: a number is out of range or not finite.
    """
    if isinstance(value, jax.core.Tracer) or not isinstance(
        value, int | float | np.number | np.ndarray | jax.Array
    ):
        return
    numbers = np.asarray(value)
    in_range = (numbers > low if above else numbers >= low) & (numbers <= high)
    if not np.all(in_range & np.isfinite(numbers)):
        least = f'{"more than" if above else "at least"} {low:g}'
        most = f' and at most {high:g}' if math.isfinite(high) else ' and finite'
        raise UserError(f'{name} must be {least}{most}, not {value}')


def is_on(weight: Any) -> bool:
    """False if the weight is a constant 0; a traced weight may become non-zero."""
    return not isinstance(weight, int | float) or weight != 0
