"""Coerces and parses values by type annotation."""

import abc
import ast
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from genjax.errors import nearest


def coerce(value: Any, hint: Any) -> Any:
    """Converts `value` to the type `hint`; hints other than plain types, tuples and literals allow
    any value.
    """
    members = members_of(hint)
    if isinstance(value, ConfigDict) or any(_fits(value, m) for m in members):
        return value
    for member in members:
        if member is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(member) is tuple and isinstance(value, tuple):
            args = typing.get_args(member)
            each = [args[0]] * len(value) if args[1:] == (...,) else args
            if len(each) == len(value):
                return tuple(coerce(v, h) for v, h in zip(value, each, strict=True))
    literals = [
        v for m in members if typing.get_origin(m) is typing.Literal for v in typing.get_args(m)
    ]
    if literals:
        options = ', '.join(map(repr, literals))
        raise ValueError(
            f'{value!r} is not one of {options}{nearest(str(value), map(str, literals))}'
        )
    names = ' or '.join(
        'None' if m is types.NoneType else getattr(m, '__name__', str(m)).rpartition('.')[2]
        for m in members
    )
    raise TypeError(f'{value!r} is not of type {names}')


def parse(text: str, hint: Any) -> Any:
    """Parses command-line text as type `hint`."""
    members = members_of(hint)
    if any(typing.get_origin(m) is typing.Literal and text in typing.get_args(m) for m in members):
        return text
    try:
        value = ast.literal_eval(quote_references(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = {'true': True, 'false': False, 'none': None}.get(text.lower(), text)
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, float) and value.is_integer() and int in members and float not in members:
        value = int(value)
    tuples = [m for m in members if typing.get_origin(m) is tuple]
    kept = type(value) in members or (type(value) is int and float in members)
    if str in members and not (kept or (tuples and isinstance(value, tuple))):
        value = text
    if tuples and not isinstance(value, tuple) and not any(_fits(value, m) for m in members):
        value = (value,)
    return coerce(value, hint)


def quote_references(text: str) -> str:
    """Quotes `@module.name`, so that a list of them is valid Python."""
    return re.sub(r'(?<![\w\'"])@[\w.]+', lambda match: repr(match[0]), text)


def takes_function(hint: Any) -> bool:
    """Returns whether `hint` allows a function."""
    return any((typing.get_origin(m) or m) is Callable for m in members_of(hint))


def takes_mapping(hint: Any) -> bool:
    """Returns whether `hint` allows a mapping."""
    bases = [typing.get_origin(m) or m for m in members_of(hint)]
    return any(isinstance(base, type) and issubclass(base, Mapping) for base in bases)


def element_hint(hint: Any) -> Any:
    """Declared type of the elements of a tuple."""
    tuples = [m for m in members_of(hint) if typing.get_origin(m) is tuple and typing.get_args(m)]
    return typing.get_args(tuples[0])[0] if len(tuples) == 1 else Any


def is_plain(value: Any, hint: Any) -> bool:
    """Returns whether `hint` allows this number or None, which may then replace a spec."""
    members = members_of(hint)
    if value is None:
        return types.NoneType in members
    return type(value) in (int, float) and bool({int, float} & set(members))


def only_type(hint: Any) -> type:
    """Type of an optional field, for a typed placeholder; `object` unless it is a single plain
    type.
    """
    plain = [m for m in members_of(hint) if m is not types.NoneType]
    return plain[0] if len(plain) == 1 and plain[0] in (bool, int, float, str) else object


def members_of(hint: Any) -> tuple[Any, ...]:
    """Members of a union, or the type itself."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return tuple(m for arg in typing.get_args(hint) for m in members_of(arg)) if union else (hint,)


def _is_array(hint: Any) -> bool:
    # This annotation implies that JAX is imported; reading a config must not import it.
    return 'jax' in sys.modules and hint is sys.modules['jax'].Array


def _fits(value: Any, hint: Any) -> bool:
    if hint is types.NoneType or hint is None:
        return value is None
    if hint in (int, float, str):
        return isinstance(value, hint) and not isinstance(value, bool)
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is bool or hint is tuple:
        return isinstance(value, hint)
    if takes_mapping(hint):
        return isinstance(value, Mapping)
    if takes_function(hint) or _is_array(hint):  # such as a learning rate: float | Array | Callable
        return not isinstance(value, bool | int | float | tuple | str | None) or (
            isinstance(value, str) and value.startswith('@')
        )
    if type(hint) is abc.ABCMeta:  # a class of values such as averages, beside numbers
        return not isinstance(value, bool | int | float | tuple | str) or (
            isinstance(value, str) and value.startswith('@')
        )
    return typing.get_origin(hint) is not tuple
