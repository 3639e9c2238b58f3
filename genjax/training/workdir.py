"""The run folder: its lock, and the record of the run."""

import contextlib
import json
import platform
import shlex
import socket
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import genjax
from genjax import config as configs
from genjax import files, records
from genjax.config import trust
from genjax.data.sources import Source, sampled_fingerprint
from genjax.errors import UserError
from genjax.parallel import distributed
from genjax.training import checkpoints, unchanged

CONFIG = 'config.json'
_RECORD = {
    'id': str,
    'config': dict,
    'workdir': str,
    'fingerprint': str,
    'data': str,
    'data_in_memory': bool,
    'data_sampled': str,
    'preprocess': dict,
    'example': dict,
    'jax': dict,
    'branch': dict,
    'start': list,
    'starts': list,
}
_OLDER = {  # values for runs from before these fields existed
    'preprocess': {},
    'workdir': '',
    'jax': {},
    'branch': {},
    'start': [],
    'data_in_memory': True,
    'data_sampled': '',
}
_PACKAGES = (
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'numpy',
    'tensorflow-datasets',
    'grain',
)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Creates the folder and locks it until the process ends, however it ends. Removes temporary
    files of killed processes.

    Raises:
        UserError: the folder is of another kind, not writable, or locked; it is unchanged.
    """
    busy = 'another run (process {owner}) is training in {folder}'
    with files.locked(workdir, 'run', CONFIG, busy):
        with results_lock(workdir):
            files.remove_unfinished(workdir)
        yield


@contextlib.contextmanager
def results_lock(workdir: Path) -> Iterator[None]:
    """Waits until no other process writes to `evaluations/`: a run and a command that follows it
    may both have results to add.
    """
    folder = workdir / records.EVALUATIONS
    with contextlib.ExitStack() as held:
        if folder.exists():
            held.enter_context(files.exclusive(folder / '.lock'))
        yield


def resumed(workdir: Path, config: ConfigDict) -> ConfigDict:
    """Returns the config with which the run in a folder resumes: `config`, with the recorded values
    of fields that follow the number of steps. Process 0 prints these.
    """
    if not ((workdir / CONFIG).exists() and checkpoints.steps_in(workdir / 'checkpoints')):
        return config
    config, kept = unchanged.as_begun(config, config_of(read(workdir)))
    if kept and distributed.is_first():
        values = ', '.join(f'config.{name}={value!r}' for name, value in kept.items())
        print(f'the run in {workdir} keeps {values}, with which it was begun')
    return config


def claim(
    workdir: Path,
    config: ConfigDict,
    example: Mapping[str, Any],
    source: Source,
    preprocess: Mapping[str, Any],
) -> dict[str, Any]:
    """Checks that a folder is new, or that its run is this one. A run without a checkpoint may
    change.

    Args:
        workdir: the folder.
        config: config of the run.
        example: names, shapes and dtypes of an example, so that a run can be read without its data.
        source: the training split.
        preprocess: provenance of the preprocessing.

    Returns:
        The record that `begin` writes to `config.json`.

    Raises:
        UserError: the config or the data changed in a way that would change the training (the
            message names the field), or the checkpoints are missing.
    """
    new = {'id': uuid.uuid4().hex[:8], 'starts': []}
    before = read(workdir) if (workdir / CONFIG).exists() else new
    data = {
        'data': source.fingerprint,
        'data_in_memory': source.in_memory,
        'data_sampled': sampled_fingerprint(source),
    }
    saved = checkpoints.steps_in(workdir / 'checkpoints')
    if checkpoints.gone(workdir / 'checkpoints'):
        raise UserError(
            f'the run in {workdir} has been trained before, and its checkpoints are gone: bring'
            ' them back, choose another --workdir, or remove the folder to begin again'
        )
    if saved:
        unchanged.check(workdir, before, config_of(before), config, data)
        unchanged.check_preprocess(workdir, before, preprocess)
        unchanged.check_settings(workdir, before)
    elif not _describes(before, config):
        before = new
    record = {
        'id': before['id'],
        'config': configs.to_json(configs.absolute(config)),
        'workdir': str(workdir.absolute()),
        'fingerprint': configs.fingerprint(config),
        **data,
        'data_skipped': dict(getattr(source, 'skipped', {})),
        'preprocess': preprocess,
        'example': example,
        'jax': unchanged.settings(),
        'branch': before.get('branch', {}),
        'start': before.get('start', []),
        'starts': [*before['starts'], provenance()],
    }
    if not saved:
        begin(workdir, record)
    trust.remember(trust.needed(config))  # trained configs are trusted when read
    return record


def begin(workdir: Path, record: Mapping[str, Any]) -> None:
    """Writes `config.json`, once all checks have passed."""
    files.write_json(workdir / CONFIG, record)


def read(workdir: Path) -> dict[str, Any]:
    """Returns the content of `config.json`; raises UserError if it is missing or damaged."""
    files.workdir(workdir)
    try:
        record = json.loads((workdir / CONFIG).read_text())
        record = {**_OLDER, **record}
        return {key: kind(record[key]) for key, kind in _RECORD.items()}
    except FileNotFoundError:
        raise UserError(f'{workdir} is not the folder of a run: it has no {CONFIG}') from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise UserError(f'cannot read {workdir / CONFIG}: {type(e).__name__}: {e}') from None


def config_of(record: Mapping[str, Any]) -> ConfigDict:
    """Config in the record of a run; raises UserError if it names something that may not be
    imported.
    """
    config, found = configs.origin.parts(record)
    return configs.from_json(config, configs.origin.folders(found))


def _describes(record: Mapping[str, Any], config: ConfigDict) -> bool:
    """Returns whether a config equals that of a record, perhaps written by older code."""
    if record.get('fingerprint') == configs.fingerprint(config):
        return True
    try:
        return 'config' in record and config_of(record) == configs.absolute(config)
    except UserError:
        return False


def provenance() -> dict[str, Any]:
    """Provenance of a result: code, libraries, devices, and time."""
    return {
        'time': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
        'genjax': genjax.__version__,
        'commit': _commit(),
        'source': configs.origin.current(),
        'command': _command(),
        'host': socket.gethostname(),
        'python': platform.python_version(),
        'packages': {name: metadata.version(name) for name in _PACKAGES},
        'devices': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
        'processes': jax.process_count(),
    }


def _command() -> str:
    """The command line of this process."""
    program = Path(sys.argv[0]).name
    return shlex.join(['genjax' if program == '__main__.py' else program, *sys.argv[1:]])


def _commit() -> str | None:
    """Commit of genjax's code; None outside of git."""
    root = Path(genjax.__file__).parent
    return configs.origin.commit_of(root) if (root.parent / '.git').exists() else None
