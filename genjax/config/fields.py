"""The fields of a config, by path, and as plain data."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from genjax.config.specs import TARGET, hints_of, import_path, make_spec
from genjax.config.types import coerce, is_plain, parse
from genjax.errors import UserError, nearest


def override(config: ConfigDict, path: str, value: Any) -> None:
    """Sets one field, `model.encoder.features` or `preprocess.steps[1].alpha`, in place.

    Text is read as the type that the field's constructor declares; other values are checked against
    it. Where it declares a number or None, these replace a spec: a learning rate its schedule.

    Raises:
        UserError: no such field, or a value that does not fit it.
    """
    *parents, last = [
        int(i) if i else name for name, i in re.findall(r'([^.\[\]]+)|\[(\d+)\]', path)
    ]
    node: Any = config
    for depth, key in enumerate([*parents, last]):
        inside = isinstance(node, tuple) and isinstance(key, int) and key < len(node)
        if not inside and not (isinstance(node, ConfigDict) and key in node):
            known = [p for p, _ in leaves(config)]
            raise UserError(f'config has no field {path!r}{nearest(path, known)}')
        if depth == len(parents):
            break
        node = node[key]
    if isinstance(node, tuple):
        raise UserError(f'config.{path}: set the whole tuple, config.{".".join(map(str, parents))}')
    hint = hints_of(import_path(node[TARGET])).get(last) if TARGET in node else None
    if hint is None:  # no annotation: the value there now shows the type
        hint = Any if node[last] is None else type(node[last])
    is_reference = isinstance(value, str) and value.startswith('@')
    try:
        new = parse(value, hint) if isinstance(value, str) else coerce(value, hint)
        if isinstance(node[last], ConfigDict) and not is_reference and not is_plain(new, hint):
            raise UserError(f'config.{path} is made of fields: set one of those, config.{path}.…')
        if isinstance(new, str) and new.startswith('@'):
            target = import_path(new[1:])
            new = make_spec(target, {}) if isinstance(target, type) else new
    except (TypeError, ValueError) as e:
        raise UserError(f'config.{path}: {e}') from None
    with node.ignore_type():
        node[last] = new


def with_fields(config: ConfigDict, fields: Mapping[str, Any]) -> ConfigDict:
    """A copy of a config with other values in some fields, by path.

    Raises:
        UserError: no such field, or a value that does not fit it.
    """
    copy = from_json(to_json(config))
    for path, value in fields.items():
        override(copy, path, value)
    return copy


def leaves(config: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yields `(path, value)` of every field that holds no further fields, in order."""
    if isinstance(config, ConfigDict | Mapping):
        for key, value in config.items():
            yield from leaves(value, f'{path}.{key}' if path else key)
    elif isinstance(config, tuple | list) and any(
        isinstance(v, ConfigDict | Mapping) for v in config
    ):
        for i, value in enumerate(config):
            yield from leaves(value, f'{path}[{i}]')
    else:
        yield path, config


def with_leaves(config: Any, values: Mapping[str, Any], path: str = '') -> Any:
    """What `build` takes for a config with other `values`, by path, in some of its `leaves`; they
    are not checked, and may be tracers.
    """
    if path in values:
        return values[path]
    if isinstance(config, ConfigDict | Mapping):
        return {
            key: with_leaves(value, values, f'{path}.{key}' if path else key)
            for key, value in config.items()
        }
    if isinstance(config, tuple | list):
        return tuple(with_leaves(value, values, f'{path}[{i}]') for i, value in enumerate(config))
    return config


def to_json(config: Any) -> Any:
    """Returns the config as plain dictionaries, lists and scalars; `from_json` reads it back."""
    if isinstance(config, ConfigDict | Mapping):
        return {key: to_json(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_json(value) for value in config]
    return config


def from_json(data: Any) -> Any:
    """Inverse of `to_json`. Fields that the code has gained since get their defaults.

    Raises:
        UserError: a field or constructor that this version of the code does not have.
    """
    if isinstance(data, Mapping):
        fields = {key: from_json(value) for key, value in data.items() if key != TARGET}
        if TARGET not in data:
            return ConfigDict(fields)
        try:
            return make_spec(import_path(data[TARGET]), fields)
        except (TypeError, ValueError) as e:
            raise UserError(f'saved config: {e}') from None
    if isinstance(data, list):
        return tuple(from_json(value) for value in data)
    return data


def fingerprint(config: ConfigDict) -> str:
    """SHA-256 of the resolved config."""
    return hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()
