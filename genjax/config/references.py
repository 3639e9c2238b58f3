"""Fields that follow other fields, as `ml_collections.FieldReference`s."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from genjax.config.show import Config
from genjax.config.types import coerce, only_type


class _Op(NamedTuple):
    """Operation of a `FieldReference`: `fn(own value, *args)`."""

    fn: Callable
    args: tuple[Any, ...]


def following(reference: FieldReference, now: Any, hint: Any) -> FieldReference:
    """Returns a one-way reference to another one: setting it does not change the other.

    Args:
        reference: the other reference.
        now: its current value.
        hint: type to which values are coerced.
    """
    kind = only_type(hint) if now is None else type(now)
    return FieldReference(now, kind, _Op(lambda _, new: coerce(new, hint), (reference,)))


def joined(items: tuple[Any, ...]) -> FieldReference:
    """Returns a reference to a tuple of values, some of them references."""
    return FieldReference((), op=_Op(lambda _, *values: values, items))


def copied(config: Any, seen: dict[int, Any] | None = None) -> Any:
    """Copies a config; references point into the copy, and shared parts are duplicated."""
    seen = {} if seen is None else seen
    if isinstance(config, ConfigDict):
        new = Config(convert_dict=False)
        for name, value in config.items(preserve_field_references=True):
            new[name] = copied(value, seen)
        return new
    if isinstance(config, tuple):
        return tuple(copied(item, seen) for item in config)
    return copy.deepcopy(config, seen) if isinstance(config, FieldReference) else config
