"""Path fields of a config, resolved wherever a run is read."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from ml_collections import ConfigDict

from genjax import files
from genjax.config.declared import declared
from genjax.config.fields import from_json, override, to_json
from genjax.errors import UserError


def paths(config: ConfigDict) -> dict[str, str]:
    """Returns the path fields of a config, by the paths of `leaves`.

    Constructors list theirs in an attribute, `PATHS: ClassVar = ('data_dir',)`. The content there
    is compared, not the path, so that training does not depend on it.
    """
    return {name: path for name, path in declared(config, 'PATHS') if path is not None}


def absolute(config: ConfigDict) -> ConfigDict:
    """Returns a copy with absolute paths, independent of the current folder."""
    return _with(config, {name: files.absolute(path) for name, path in paths(config).items()})


def moved(config: ConfigDict, before: str, now: Path) -> ConfigDict:
    """Returns a copy for a run moved from the folder `before` to `now`.

    A path keeps its position relative to the run folder if it exists there (both may have been
    moved together); otherwise it is unchanged.
    """
    found = {}
    for name, path in paths(config).items():
        if not (os.path.isabs(path) or files.is_remote(path)):
            continue
        with contextlib.suppress(UserError):  # it may lead out of a bucket
            beside = files.absolute(f'{now}/{os.path.relpath(path, before)}')
            if files.as_path(beside).exists():
                found[name] = beside
    return _with(config, found)


def _with(config: ConfigDict, values: Mapping[str, str]) -> ConfigDict:
    copy = from_json(to_json(config))
    for name, value in values.items():
        override(copy, name, value)
    return copy
