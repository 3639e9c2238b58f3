"""Checksums of a checkpoint's files and step.

Orbax verifies its metadata only: it restores corrupted array data silently.
"""

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from genjax import files
from genjax.errors import UserError

FILE = 'sha256.json'
_METADATA = '_CHECKPOINT_METADATA'
_NEEDED = ('state/_METADATA', 'state/manifest.ocdbt')
_SEAL = 'sha256'
_NONE: Mapping[str, str] = {}
_THREADS = min(8, os.cpu_count() or 1)  # eight hash what a fast disk reads
_PATIENCE = 30.0  # seconds
_DAMAGE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # others do not mean damage


def write(folder: Path, step: int) -> None:
    """Adds checksums to a checkpoint that is complete except for its final name.

    Raises:
        OSError: a file needed by a restore is missing.
    """
    _wait_for_metadata(folder)
    digests = _digests(folder)
    for name in _NEEDED:
        if name not in digests:
            raise OSError(f'Orbax has not written {name}')
    (folder / FILE).write_text(json.dumps({'step': step, **digests}))


def damage(folder: Path) -> str | None:
    """Describes the first damage of a checkpoint; None if it is intact.

    Raises:
        UserError: it cannot be read for another reason, e.g. a missing permission.
    """
    try:
        saved = json.loads((folder / FILE).read_text())
        if 'step' not in saved:  # older: only the state, no step
            saved = {'step': int(folder.name)} | {f'state/{name}': saved[name] for name in saved}
        step = saved.pop('step')
        found = _digests(folder, saved)
    except _DAMAGE as error:
        return str(error)
    except OSError as error:
        raise _unreadable(folder, error) from error
    except (ValueError, TypeError, AttributeError) as error:
        return f'{FILE} or {_METADATA} is torn: {error}'
    if step != int(folder.name):
        return f'it is the checkpoint of step {step}, renamed'
    for name in sorted({*saved, *_NEEDED}):
        if name not in saved:
            return f'{FILE} has no entry {name}'
        if name not in found:
            return f'{name} is missing'
        if found[name] != saved[name]:
            return f'{name} is not what was saved'
    return None


def sealed(results: Mapping[str, float]) -> dict[str, float | str]:
    """Adds a checksum to results; they may be added to a checkpoint later."""
    return {**results, _SEAL: _of(results)}


def check_results(file: Path) -> None:
    """Verifies a file of `sealed` results.

    Raises:
        ValueError: it is damaged.
        UserError: it cannot be read.
    """
    try:
        results = json.loads(file.read_text())
    except OSError as error:
        raise _unreadable(file, error) from error
    if not isinstance(results, dict):
        raise ValueError(f'{results!r} is no dictionary')
    if results.pop(_SEAL, _of(results)) != _of(results):
        raise ValueError('its checksum is another')


def _wait_for_metadata(folder: Path) -> None:
    """Waits for Orbax, which writes its metadata twice from another thread: at the start of the
    save, and with `item_handlers` at its end.

    Raises:
        OSError: on a timeout.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ValueError):
            if json.loads((folder / _METADATA).read_text()).get('item_handlers'):
                return
        time.sleep(0.01)
    raise OSError(f'Orbax has not written {_METADATA}')


def _digests(folder: Path, saved: Mapping[str, str] = _NONE) -> dict[str, str]:
    """Digests of each file in the checkpoint's folders (results have their own checksum), and of
    its metadata as of the commit, of the same kinds as those that were saved.
    """
    metadata = json.loads((folder / _METADATA).read_text())
    metadata.pop('commit_timestamp_nsecs', None)
    digests = {_METADATA: _of(metadata)}
    hashed = {}
    for name, digest in files.digests(folder):
        kind, _, inside = name.partition('/')
        if inside and kind != 'metrics':
            hashed[name] = functools.partial(digest, str(saved.get(name, '')))
        elif inside and name.rpartition('/')[2] == 'metrics':
            digests[name] = 'has its own'
    with ThreadPoolExecutor(_THREADS) as pool:  # hashlib lets other threads run
        found = pool.map(lambda digest: digest(), hashed.values())
        return digests | dict(zip(hashed, found, strict=True))


def _of(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f'cannot read {error.filename or path}: {error.strerror or error}')
