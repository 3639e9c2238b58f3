"""Origin of the config of this process, recorded with its results."""

import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax.config.trust import TARGET

_current: dict[str, Any] | None = None


def set_file(file: str, argument: str = '') -> None:
    """Notes that the config is what a Python file returns."""
    folder = Path(file).resolve().parent
    set(
        {
            'file': str(Path(file).resolve()),
            'argument': argument,
            'path': list(dict.fromkeys([str(folder), str(Path.cwd().resolve())])),
            'commit': commit_of(Path(file).resolve()),
        }
    )


def set(origin: Mapping[str, Any] | None) -> None:
    """Notes the origin that a file with a config states."""
    global _current
    _current = None if origin is None else dict(origin)


def current() -> dict[str, Any] | None:
    """Returns the file, its argument, the folders that it imports from and the commit of its
    repository; None for a config that was made in Python.
    """
    return _current


def parts(data: Any) -> tuple[Any, dict[str, Any] | None]:
    """The config and its origin in what a JSON file holds: the record of a run, a trial of a sweep,
    or a config alone.
    """
    if not isinstance(data, dict) or TARGET in data or not isinstance(data.get('config'), dict):
        return data, None
    starts = data.get('starts')
    last = starts[-1] if isinstance(starts, list) and starts else data
    found = last.get('source') if isinstance(last, dict) else None
    return data['config'], found if isinstance(found, dict) else None


def folders(origin: Mapping[str, Any] | None) -> list[str]:
    """The folders that a config imports from, as its record states them; they may be gone."""
    found = (origin or {}).get('path')
    return [p for p in found if isinstance(p, str)] if isinstance(found, list) else []


def commit_of(path: Path) -> str | None:
    """The commit of the repository that holds a file or folder, with '+changes' where a file that
    it tracks, or this one, differs from it; None outside of git.
    """
    # Without fsmonitor, which lets a repository name a program to run.
    here = path if path.is_dir() else path.parent
    git = ['git', '-c', 'core.fsmonitor=false', '-C', str(here)]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*git, *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env={**os.environ, 'GIT_OPTIONAL_LOCKS': '0'},
        )
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        commit = run('rev-parse', 'HEAD')
        scope = ['--', str(path)] if path.is_dir() else []
        changes = run('status', '--porcelain', *([] if scope else ['-uno']), *scope)
        tracked = scope or run('ls-files', '--', str(path))
        return commit + ('+changes' if changes or not tracked else '')
    return None
