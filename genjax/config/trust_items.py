"""Items that a user trusts beside genjax, Flax and optax, and the folders of their modules."""

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from genjax.errors import UserError

NAME = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)*')
"""A dotted name."""


@dataclass(frozen=True)
class Item:
    """An importable name or folder.

    Attributes:
        name: name of a package, a module or a definition; '' for all modules in `folder`.
        folder: folder of its top-level module; '' for an installed one.
    """

    name: str
    folder: str = ''

    @classmethod
    def parse(cls, text: str) -> 'Item':
        """Parses `NAME`, `FOLDER` or `NAME@FOLDER`.

        Raises:
            UserError: the text is none of these.
        """
        name, at, folder = text.partition('@')
        if not NAME.fullmatch(name) and Path(text).expanduser().is_dir():
            name, at, folder = '', '', text
        folder = str(Path(folder).expanduser().resolve()) if folder else ''
        if (name and not NAME.fullmatch(name)) or bool(at and not folder) or not (name or folder):
            raise UserError(f'--trust={text}: give the name of a package or module, or a folder')
        if folder and not Path(folder).is_dir():
            raise UserError(f'--trust={text}: there is no folder {folder}')
        return cls(name, folder)

    def __str__(self) -> str:
        return '@'.join(filter(None, (self.name, self.folder)))

    def holds(self, path: str) -> bool:
        """Returns whether the item covers a name; imports nothing."""
        if self.name and path != self.name and not path.startswith(f'{self.name}.'):
            return False
        return not self.folder or lies_in(path.partition('.')[0], self.folder)


def remember(items: Iterable[Item]) -> None:
    """Allows items in later processes of this user, if the file can be written."""
    before = set(remembered())
    new = [item for item in items if item not in before]
    if not new or (file := file_of_user()) is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open('a', encoding='utf-8') as lines:
            lines.write(''.join(f'{item}\n' for item in new))


def remembered() -> list[Item]:
    """Returns the stored items of this user."""
    file = file_of_user()
    if file is None:
        return []
    try:
        lines = file.read_text('utf-8').splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in filter(None, map(str.strip, lines)):
        with contextlib.suppress(UserError):  # a folder that no longer exists
            found.append(Item.parse(line))
    return list(dict.fromkeys(found))


def file_of_user() -> Path | None:
    """Returns the file with this user's items; None without a home folder."""
    folder = os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')
    return Path(folder) / 'genjax' / 'trusted' if os.path.isabs(folder) else None


def lies_in(top: str, folder: str) -> bool:
    """Returns whether `import top` would load a module of this folder, appended to `sys.path`."""
    if top in sys.modules:
        found = sys.modules[top].__spec__
    elif top in sys.builtin_module_names:
        return False
    else:
        found = PathFinder.find_spec(top, [*sys.path, folder])
    return folder in homes(found)


def homes(found: ModuleSpec | None) -> list[str]:
    """Folders of a top-level module: one, or several for a namespace package."""
    if found is None:
        return []
    if found.submodule_search_locations is not None:
        return [str(Path(place).resolve().parent) for place in found.submodule_search_locations]
    return [str(Path(found.origin).resolve().parent)] if found.has_location else []
