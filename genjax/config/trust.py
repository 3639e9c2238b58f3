"""Decides which names in a config may be imported and called.

A config names its constructors, so reading one from a file runs code. Allowed are names used by
the user's own Python code (`spec`, an override), names that genjax, Flax and optax offer for
configs, and names that the user has given with `--trust` or trained with before. The latter are
stored in `$XDG_CONFIG_HOME/genjax/trusted`, one item per line:

    my_package                  everything defined in this package or module
    /home/me/lab                all modules in this folder
    nets.Small@/home/me/lab     this one name, found in this folder
"""

import importlib.util
import inspect
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from genjax.config.trust_items import NAME, Item, homes, lies_in, remember, remembered
from genjax.errors import UserError, nearest

__all__ = [
    'TARGET', 'Item', 'builder_path', 'check', 'folders', 'give', 'given', 'import_path',
    'is_installed', 'is_vouched', 'name', 'names_in', 'needed', 'note', 'on_path', 'options',
    'parse', 'remember',
]  # fmt: skip

TARGET = '_target_'

_OFFERED = (
    'flax.linen',
    'flax.nnx',
    'genjax.data',
    'genjax.evaluation',
    'genjax.models',
    'genjax.networks',
    'genjax.parallel.sharding',
    'genjax.schedules',
    'genjax.training',
    'optax',
)

_named: set[str] = set()
"""Names used by Python code of this process."""

_own: dict[Item, None] = {}
"""Modules of the classes and functions named by that code."""

_given: dict[Item, None] = {}
"""Items given by `--trust`, or stored earlier."""

_used: dict[str, None] = {}
"""Imported names outside of `_OFFERED`."""

_folders: dict[str, None] = {}
"""Folders added to `sys.path` by this module."""


def names_in(data: Any, where: str = 'config') -> Iterator[tuple[str, Any]]:
    """Yields `(field, name)` for every name in a config that `build` would import."""
    if isinstance(data, ConfigDict | Mapping):
        for key, value in data.items():
            if key == TARGET:
                yield where, value
            else:
                yield from names_in(value, f'{where}.{key}')
    elif isinstance(data, list | tuple):
        for i, value in enumerate(data):
            yield from names_in(value, f'{where}[{i}]')
    elif isinstance(data, str) and data.startswith('@'):
        yield where, data[1:]


def name(config: Any) -> None:
    """Allows, in this process, the names in a config from the user's own code or command line, and
    all definitions in the modules of its classes and functions.
    """
    for text in _texts(config):
        _named.add(text.partition('/')[0].removeprefix('@'))
    for _, path in names_in(config):
        if not _is_offered(path):
            _own[Item(path.rpartition('.')[0] or path)] = None


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, ConfigDict | Mapping):
        yield from _texts(list(config.values()))
    elif isinstance(config, list | tuple):
        for item in config:
            yield from _texts(item)


def builder_path(text: Any) -> str | None:
    """Import path in the name of a data set: `lab.Spirals` in `lab.Spirals/wide`; None if it has
    none.
    """
    path = text.partition('/')[0] if isinstance(text, str) else ''
    return path if '.' in path and ':' not in path else None


def parse(words: Iterable[str]) -> list[Item]:
    """Parses the arguments of `--trust`; a module in the current folder is bound to that folder.

    Raises:
        UserError: an argument is neither a name nor a folder.
    """
    items = list(map(Item.parse, words))
    here = str(Path.cwd().resolve())
    return [
        Item(item.name, here)
        if not item.folder and lies_in(item.name.partition('.')[0], here)
        else item
        for item in items
    ]


def give(items: Iterable[Item]) -> None:
    """Allows items in this process, and adds their folders to `sys.path`."""
    for item in items:
        _given[item] = None
        if item.folder:
            on_path(item.folder)


def on_path(folder: str | Path) -> None:
    """Appends a folder to `sys.path`, after installed packages, so that it cannot shadow them."""
    folder = str(Path(folder).resolve())
    _folders[folder] = None
    if folder not in sys.path:
        sys.path.append(folder)


def is_installed(package: str) -> bool:
    """Returns whether an optional package is installed, not just a file or folder with its name on
    the config path (Weights & Biases creates one).
    """
    if package in sys.modules:
        return sys.modules[package] is not None
    found = importlib.util.find_spec(package)
    return found is not None and not (homes(found) and set(homes(found)) <= _folders.keys())


def folders() -> list[str]:
    """Folders added to `sys.path` by this process."""
    return list(_folders)


def check(data: Any, folders: Sequence[str] = (), where: str = 'config') -> None:
    """Checks the names in a config read from a file; imports nothing.

    Args:
        data: the config.
        folders: folders of the user's modules when it was written, to distinguish modules with the
            same name.
        where: path of the field.

    Raises:
        UserError: a name may not be imported; states its field and how to allow it.
    """
    for field, path in names_in(data, where):
        if not isinstance(path, str) or not NAME.fullmatch(path):
            raise UserError(f'{field}: {path!r} is not the name of a class or function')
        if path in _named or _is_offered(path):
            continue
        items = _holding(path)
        if not items:
            raise UserError(_refusal(field, path, folders))
        item = max(items, key=lambda item: item.folder in folders)
        if item not in _own:
            give([item])


def import_path(path: str) -> Any:
    """Imports a name such as `optax.adam`.

    Raises:
        UserError: the name may not be imported, or does not exist.
    """
    check('@' + path)
    module, _, last = path.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), last)
    except (ImportError, ValueError) as e:
        raise UserError(f'cannot import {path!r}: {e}') from None
    except AttributeError:
        names = [n for n in dir(sys.modules[module]) if not n.startswith('_')]
        raise UserError(f'{module!r} has no {last!r}{nearest(last, names)}') from None
    if path in _named or (_is_offered(path) and _offers(path, found)):
        note(path)
        return found
    items = _holding(path)
    if not items:
        package = path.partition('.')[0]
        raise UserError(
            f'{path} is not a class or function that {package} offers for configs: {_advice(path)}'
        )
    home = f'{getattr(found, "__module__", None)}.{getattr(found, "__qualname__", "")}'
    if not any(item.name == path or item.holds(home) for item in items):
        raise UserError(f'{path} is not defined there, but is {home}: {_advice(path)}')
    note(path)
    return found


def is_vouched(path: str) -> bool:
    """Returns whether the user has allowed exactly this name, not just its package or folder."""
    return path in _named or any(path == item.name for item in _holding(path))


def note(path: str) -> None:
    """Records that a name was imported for a config."""
    if not _is_offered(path):
        _used[path] = None


def given() -> list[str]:
    """Returns the items of this process as command-line options."""
    return [f'--trust={item}' for item in _given]


def needed(config: Any) -> list[Item]:
    """Returns the items that another process needs to build this config."""
    named = [path for _, path in names_in(config)]
    builders = [builder_path(text) for text in _texts(config)]
    paths = [path for path in dict.fromkeys([*named, *builders]) if path in _used]
    return [Item(path, _folder_of(path)) for path in paths]


def options(config: Any) -> list[str]:
    """Returns `needed` as command-line options."""
    return [f'--trust={item}' for item in needed(config)]


def _holding(path: str) -> list[Item]:
    """Items that cover a name."""
    return [item for item in [*remembered(), *_given, *_own] if item.holds(path)]


def _is_offered(path: str) -> bool:
    public = not any(part.startswith('_') for part in path.split('.'))
    return public and any(path.startswith(f'{module}.') for module in _OFFERED)


def _offers(path: str, found: Any) -> bool:
    """Returns whether a public name is meant for configs: defined there, and constructible."""
    package = next(module for module in _OFFERED if path.startswith(f'{module}.'))
    home = getattr(found, '__module__', None) or ''
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return False
    if not package.startswith('genjax.'):
        root = package if package.startswith('flax.') else 'optax'
        return home == root or home.startswith(f'{root}.')
    if not any(home == m or home.startswith(f'{m}.') for m in _OFFERED if m.startswith('genjax.')):
        return False
    module, _, last = path.rpartition('.')
    built = inspect.isclass(found) and hasattr(found, '__dataclass_fields__')
    return built or last in getattr(sys.modules[module], '__all__', ())


def _folder_of(path: str) -> str:
    """Folder on `sys.path`, added by this module, of a name; '' for an installed one."""
    found = homes(sys.modules[path.partition('.')[0]].__spec__)
    return next((home for home in found if home in _folders), '')


def _refusal(where: str, path: str, folders: Sequence[str]) -> str:
    return (
        f'{where} names {path}, which is not a class or function of genjax, flax or optax for'
        f' configs; it could run any code, so it was not imported: {_advice(path, folders)}'
    )


def _advice(path: str, folders: Sequence[str] = ()) -> str:
    top, within = path.partition('.')[0], path.rpartition('.')[0]
    folder = next((folder for folder in folders if lies_in(top, folder)), None)
    return (
        f'if you trust whoever wrote it, add {shlex.quote(f"--trust={folder or within or path}")}'
    )
