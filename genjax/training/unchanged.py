"""Compares a run with its record before it resumes: config, data, preprocessing, settings."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError

_SETTINGS = (
    'jax_enable_x64',
    'jax_default_prng_impl',
    'jax_threefry_partitionable',
    'jax_random_seed_offset',
)


def as_begun(config: ConfigDict, before: ConfigDict) -> tuple[ConfigDict, dict[str, Any]]:
    """Returns the config with the recorded values of fields that follow the number of steps, such
    as the length of a schedule: a run that is extended resumes with the schedule that it has.

    Args:
        config: config of the run to resume.
        before: its recorded config.

    Returns:
        The config, and the recorded values, by path.
    """
    steps = {name for name, _ in configs.declared(config, 'FOLLOWED')} & _free(config)
    recorded, now = dict(configs.leaves(before)), dict(configs.leaves(config))
    horizon = {n: recorded[n] for n in steps if recorded.get(n, now[n]) != now[n]}
    if not horizon:
        return config, {}
    other = dict(configs.leaves(configs.with_fields(config, horizon)))
    free = _free(config)
    kept = {
        name: value
        for name, value in other.items()
        if value != now.get(name) and value == recorded.get(name) and not _matched(name, free)
    }
    return configs.with_fields(config, kept), kept


def check(
    workdir: Path,
    record: Mapping[str, Any],
    before: ConfigDict,
    config: ConfigDict,
    data: Mapping[str, Any],
) -> None:
    """Refuses a config or data that would change the training.

    Args:
        workdir: run folder, for messages.
        record: content of `config.json`.
        before: its config.
        config: config of the run to resume.
        data: fingerprints of its data.

    Raises:
        UserError: naming the field.
    """
    recorded, now = dict(configs.leaves(before)), dict(configs.leaves(config))
    free = _free(before) | _free(config)
    trained = set()
    for each in (before, config):
        for name, _ in configs.declared(each, 'TRAINED'):
            # Also its constructor: `….guide.network` and `….guide._target_`.
            trained |= {name, f'{name.rpartition(".")[0]}.{configs.TARGET}'}
    for name in sorted(recorded.keys() | now.keys()):
        if _matched(name, free) > _matched(name, trained):
            continue
        if recorded.get(name) != now.get(name):
            field = name.removesuffix(f'.{configs.TARGET}')
            raise UserError(
                f'config.{field} is {_shown(config, field)}, but the run in {workdir} was begun'
                f' with {_shown(before, field)}; choose another --workdir, give that value,'
                f' or begin a new run from this one with --branch_from={workdir}'
            )
    whole = record['data_in_memory'] == data['data_in_memory']
    name = 'data' if whole else 'data_sampled'  # data read from files have another fingerprint
    if record[name] != data[name]:
        raise UserError(
            f'the training data are not those that the run in {workdir} was begun with'
            f' (fingerprint {data[name][:12]}, then {record[name][:12]})'
        )


def check_preprocess(workdir: Path, record: Mapping[str, Any], now: Mapping[str, Any]) -> None:
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


def check_settings(workdir: Path, record: Mapping[str, Any]) -> None:
    """Refuses JAX settings that change random bits or dtypes from those recorded.

    Raises:
        UserError: naming the variable.
    """
    now = settings()
    for name, before in record['jax'].items():
        if before != now.get(name, before):
            variable = f'{name.upper()}={before}'
            raise UserError(
                f'the run in {workdir} was begun with {variable}, and here it is {now[name]}:'
                f' set {variable} in the environment'
            )


def settings() -> dict[str, Any]:
    """JAX settings that change random bits or dtypes."""
    return {name: getattr(jax.config, name) for name in _SETTINGS}


def _free(config: ConfigDict) -> set[str]:
    """Fields that a resumed run may change; the content at a path has a fingerprint instead."""
    return {n for attribute in ('FREE', 'PATHS') for n, _ in configs.declared(config, attribute)}


def _matched(name: str, fields: set[str]) -> int:
    """Length of the longest of the fields that is `name` or contains it."""
    held = (f for f in fields if name == f or name.startswith((f'{f}.', f'{f}[')))
    return max(map(len, held), default=0)


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
