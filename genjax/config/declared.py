"""Collects constructors' declarations about their fields from a config."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from genjax.config.specs import TARGET, import_path


def declared(config: Any, attribute: str, name: str = '') -> Iterator[tuple[str, Any]]:
    """Yields `(path, value)` of the fields that their constructors list in a class attribute, such
    as `PATHS: ClassVar = ('data_dir',)`, or mark in field metadata, like `genjax.free`.
    """
    if isinstance(config, ConfigDict | Mapping):
        listed = _listed(import_path(config[TARGET]), attribute) if TARGET in config else ()
        for key, value in config.items():
            path = f'{name}.{key}' if name else key
            if key in listed:
                yield path, value
            yield from declared(value, attribute, path)
    elif isinstance(config, tuple | list):
        for i, value in enumerate(config):
            yield from declared(value, attribute, f'{name}[{i}]')


def _listed(constructor: Callable, attribute: str) -> set[str]:
    listed = set(getattr(constructor, attribute, ()))
    if dataclasses.is_dataclass(constructor):
        listed |= {f.name for f in dataclasses.fields(constructor) if attribute in f.metadata}
    return listed
