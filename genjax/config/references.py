"""Fields that follow others, by `ml_collections.FieldReference`s."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from genjax.config.show import Config
from genjax.config.types import coerce, only_type


class _Op(NamedTuple):
    """What a `FieldReference` computes: `fn(own value, *args)`."""

    fn: Callable
    args: tuple[Any, ...]


def following(reference: FieldReference, now: Any, hint: Any) -> FieldReference:
    """Returns a reference that follows another one; setting it leaves that one alone.

    Args:
        reference: the other one.
        now: its value.
        hint: the type to which values are coerced.
    """
    kind = only_type(hint) if now is None else type(now)
    return FieldReference(now, kind, _Op(lambda _, new: coerce(new, hint), (reference,)))


def joined(items: tuple[Any, ...]) -> FieldReference:
    """Returns a reference to the tuple of the values of items, some of them references."""
    return FieldReference((), op=_Op(lambda _, *values: values, items))


def copied(config: Any, seen: dict[int, Any] | None = None) -> Any:
    """Returns a copy whose fields follow those of the copy, and which holds no part twice."""
    seen = {} if seen is None else seen
    if isinstance(config, ConfigDict):
        new = Config(convert_dict=False)
        for name, value in config.items(preserve_field_references=True):
            new[name] = copied(value, seen)
        return new
    if isinstance(config, tuple):
        return tuple(copied(item, seen) for item in config)
    return copy.deepcopy(config, seen) if isinstance(config, FieldReference) else config
