"""Checks that names in a config file are of the kind that their fields take."""

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from genjax.config.signatures import is_nnx
from genjax.config.types import members_of

_PLAIN = (bool, int, float, str, bytes, complex)


def gives(constructor: Callable, result: Any, hint: Any) -> bool:
    """Returns whether a constructor returns a value of a field's type.

    Args:
        constructor: a class or a function.
        result: declared return type of the function; Any if unknown.
        hint: declared type of the field.
    """
    made = constructor if inspect.isclass(constructor) else result
    if is_nnx(constructor):
        from genjax.bridge import FromNNX as made  # what `build` makes of it
    return any(_is_kind(made, wanted) for made in members_of(made) for wanted in members_of(hint))


def is_function_for(hint: Any) -> bool:
    """Returns whether a field takes a function, or anything."""
    return any(_base(m) in (Any, object, Callable, type) for m in members_of(hint))


def inner(hint: Any, key: str | int) -> Any:
    """Declared type of an item of a tuple or mapping."""
    for member in members_of(hint):
        base, args = _base(member), typing.get_args(member)
        if base in (tuple, list) and args and isinstance(key, int):
            return args[0] if args[1:] in ((...,), ()) else args[min(key, len(args) - 1)]
        if inspect.isclass(base) and issubclass(base, Mapping) and args and isinstance(key, str):
            return args[1]
    return Any


def _base(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


def _is_kind(made: Any, wanted: Any) -> bool:
    made, wanted = _base(made), _base(wanted)
    if wanted in (Any, object) or not (inspect.isclass(wanted) or wanted is Callable):
        return wanted not in (None, typing.Literal)  # e.g. a type variable
    if wanted in (*_PLAIN, type(None)):
        scheduled = getattr(sys.modules.get('genjax.schedules'), 'Scheduled', None)
        return made is scheduled is not None and wanted in (int, float)
    if made is Any:
        return True
    if made is Callable or not inspect.isclass(made):
        return wanted is Callable and made is Callable
    if wanted is Callable:
        return any('__call__' in base.__dict__ for base in made.__mro__)
    if getattr(wanted, '_is_protocol', False):
        methods = [name for name, value in vars(wanted).items() if inspect.isfunction(value)]
        asked = [name for name in methods if not name.startswith('_')]
        return any(callable(getattr(made, name, None)) for name in asked) or not asked
    return issubclass(made, wanted)
