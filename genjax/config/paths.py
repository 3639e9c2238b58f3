"""Fields of a config that name folders and files, found again wherever a run is read."""

import os
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from genjax.config.declared import declared
from genjax.config.fields import from_json, override, to_json
from genjax.files import local


def paths(config: ConfigDict) -> dict[str, str]:
    """Returns the fields that hold a path, by their names in the config, as `leaves` names them.

    Constructors list theirs in an attribute, `PATHS: ClassVar = ('data_dir',)`. What lies there is
    compared by its content, so that training does not depend on the path.
    """
    return {name: path for name, path in declared(config, 'PATHS') if path is not None}


def absolute(config: ConfigDict) -> ConfigDict:
    """Returns a copy with absolute paths, which mean the same in every current folder."""
    return _with(config, {name: os.path.abspath(local(p)) for name, p in paths(config).items()})


def moved(config: ConfigDict, before: str, now: Path) -> ConfigDict:
    """Returns a copy for a run that was in the folder `before` and is in `now`.

    A path leads to where it led from the folder of the run, if there is something: both may have
    been moved together. Else it stays.
    """
    found = {}
    for name, path in paths(config).items():
        beside = os.path.abspath(now / os.path.relpath(path, before))
        if os.path.isabs(path) and os.path.exists(beside):
            found[name] = beside
    return _with(config, found)


def _with(config: ConfigDict, values: Mapping[str, str]) -> ConfigDict:
    copy = from_json(to_json(config))
    for name, value in values.items():
        override(copy, name, value)
    return copy
