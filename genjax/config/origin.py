"""Origin of this process's config, recorded with its results."""

import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax.config.trust import TARGET

_current: dict[str, Any] | None = None


def set_file(file: str, argument: str = '') -> None:
    """Records that the config comes from a Python file."""
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
    """Records the origin stated by a file with a config."""
    global _current
    _current = None if origin is None else dict(origin)


def current() -> dict[str, Any] | None:
    """Returns the file, its argument, its import folders and the commit of its repository; None for
    a config built in Python.
    """
    return _current


def parts(data: Any) -> tuple[Any, dict[str, Any] | None]:
    """Splits the content of a JSON file (record of a run, trial of a sweep, or plain config) into
    config and origin.
    """
    if not isinstance(data, dict) or TARGET in data or not isinstance(data.get('config'), dict):
        return data, None
    starts = data.get('starts')
    last = starts[-1] if isinstance(starts, list) and starts else data
    found = last.get('source') if isinstance(last, dict) else None
    return data['config'], found if isinstance(found, dict) else None


def folders(origin: Mapping[str, Any] | None) -> list[str]:
    """Folders that a config imports from, by its record; they may no longer exist."""
    found = (origin or {}).get('path')
    return [p for p in found if isinstance(p, str)] if isinstance(found, list) else []


def commit_of(path: Path) -> str | None:
    """Commit of the repository of a file or folder, with '+changes' if tracked files, or this one,
    differ from it; None outside of git.
    """
    # Disable fsmonitor: it lets a repository execute a program.
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
