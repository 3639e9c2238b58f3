"""The run folder: its lock, and the record of the run."""

import contextlib
import json
import platform
import re
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
from genjax import files
from genjax.config import trust
from genjax.data.sources import Source, sampled_fingerprint
from genjax.errors import UserError
from genjax.training import checkpoints

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
    'starts': list,
}
_OLDER = {  # values for runs from before these fields existed
    'preprocess': {},
    'workdir': '',
    'jax': {},
    'branch': {},
    'data_in_memory': True,
    'data_sampled': '',
}
_SETTINGS = (
    'jax_enable_x64',
    'jax_default_prng_impl',
    'jax_threefry_partitionable',
    'jax_random_seed_offset',
)
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
        files.remove_unfinished(workdir)
        yield


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
        _check_unchanged(workdir, before, config, data)
        check_preprocess(workdir, before, preprocess)
        check_settings(workdir, before)
    elif not _describes(before, config):
        before = new
    record = {
        'id': before['id'],
        'config': configs.to_json(configs.absolute(config)),
        'workdir': str(workdir.absolute()),
        'fingerprint': configs.fingerprint(config),
        **data,
        'preprocess': preprocess,
        'example': example,
        'jax': _settings(),
        'branch': before.get('branch', {}),
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


def check_preprocess(workdir: Path, record: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses a preprocessing whose provenance differs from that recorded.

    Raises:
        UserError: naming the step.
    """
    for name, before in record['preprocess'].items():
        if before['fingerprint'] != now.get(name, {}).get('fingerprint'):
            raise UserError(
                f'config.preprocess.{name} is not what the run in {workdir} was begun with: it was'
                f' {before["name"]}; bring that back, or choose another --workdir'
            )


def check_settings(workdir: Path, record: dict[str, Any]) -> None:
    """Refuses JAX settings that change random bits or dtypes from those recorded.

    Raises:
        UserError: naming the variable.
    """
    now = _settings()
    for name, before in record['jax'].items():
        if before != now.get(name, before):
            variable = f'{name.upper()}={before}'
            raise UserError(
                f'the run in {workdir} was begun with {variable}, and here it is {now[name]}:'
                f' set {variable} in the environment'
            )


def _settings() -> dict[str, Any]:
    return {name: getattr(jax.config, name) for name in _SETTINGS}


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


def _check_unchanged(
    workdir: Path, record: Mapping[str, Any], config: ConfigDict, data: Mapping[str, Any]
) -> None:
    config_before = config_of(record)
    before, now = dict(configs.leaves(config_before)), dict(configs.leaves(config))
    free, trained = set(), set()
    for each in (config_before, config):
        for attribute in ('FREE', 'PATHS'):  # content at a path has a fingerprint
            free |= {name for name, _ in configs.declared(each, attribute)}
        for name, _ in configs.declared(each, 'TRAINED'):
            # Also its constructor: `….guide.network` and `….guide._target_`.
            trained |= {name, f'{name.rpartition(".")[0]}.{configs.TARGET}'}
    for name in sorted(before.keys() | now.keys()):
        if _matched(name, free) > _matched(name, trained):
            continue
        if before.get(name) != now.get(name):
            field = name.removesuffix(f'.{configs.TARGET}')
            raise UserError(
                f'config.{field} is {_shown(config, field)}, but the run in {workdir} was begun'
                f' with {_shown(config_before, field)}; choose another --workdir, give that value,'
                f' or begin a new run from this one with --branch_from={workdir}'
            )
    whole = record['data_in_memory'] == data['data_in_memory']
    name = 'data' if whole else 'data_sampled'  # data read from files have another fingerprint
    if record[name] != data[name]:
        raise UserError(
            f'the training data are not those that the run in {workdir} was begun with'
            f' (fingerprint {data[name][:12]}, then {record[name][:12]})'
        )


def _matched(name: str, fields: set[str]) -> int:
    """Length of the longest of the fields that is `name` or contains it."""
    held = (f for f in fields if name == f or name.startswith((f'{f}.', f'{f}[')))
    return max(map(len, held), default=0)


def _command() -> str:
    """The command line of this process."""
    program = Path(sys.argv[0]).name
    return shlex.join(['genjax' if program == '__main__.py' else program, *sys.argv[1:]])


def _shown(config: ConfigDict, field: str) -> str:
    """Formats a field for messages: a value, or a constructor with its values."""
    node: Any = config
    for key, index in re.findall(r'([^.\[\]]+)|\[(\d+)\]', field):
        try:
            node = node[int(index) if index else key]
        except (KeyError, IndexError, TypeError):
            return 'not there'
    if not isinstance(node, ConfigDict):
        return repr(node)
    values = (f'{k}={v!r}' for k, v in node.items() if k != configs.TARGET and v is not None)
    return f'{node.get(configs.TARGET, "")}({", ".join(v for v in values if len(v) < 40)})'


def _commit() -> str | None:
    """Commit of genjax's code; None outside of git."""
    root = Path(genjax.__file__).parent
    return configs.origin.commit_of(root) if (root.parent / '.git').exists() else None
