"""Fields of a config by path, and configs as plain data."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from genjax.config import kinds, legacy, trust
from genjax.config.ranges import in_range
from genjax.config.references import copied
from genjax.config.show import Config
from genjax.config.specs import (
    MISSING,
    TARGET,
    as_config,
    hints_of,
    make_spec,
    reference,
)
from genjax.config.trust import import_path
from genjax.config.types import coerce, element_hint, is_plain, parse, takes_mapping
from genjax.errors import UserError, nearest


def override(config: ConfigDict, path: str, value: Any) -> None:
    """Sets one field, `model.encoder.features` or `preprocess.steps[1].alpha`, in place.

    Text is parsed as the type that the field's constructor declares; other values are checked
    against it. If the type allows a number or None, these may replace a spec, e.g. a learning rate
    its schedule. `@module.name` is a call of a class or function (`reference`); further overrides
    set its arguments, and `check_complete` reports missing ones.

    Raises:
        UserError: the field does not exist, or the value does not fit it.
    """
    node: Any = config
    if not re.fullmatch(r'[^.\[\]]+(\[\d+\]|\.[^.\[\]]+)*', path):
        raise _unknown(config, path)
    *parents, last = [
        int(i) if i else name for name, i in re.findall(r'([^.\[\]]+)|\[(\d+)\]', path)
    ]
    hint: Any = None
    for depth, key in enumerate([*parents, last]):
        inside = isinstance(node, tuple) and isinstance(key, int) and key < len(node)
        if not inside and not (isinstance(node, ConfigDict) and key in node):
            raise _unknown(config, path)
        called = isinstance(node, ConfigDict) and TARGET in node
        hint = hints_of(import_path(node[TARGET])).get(key) if called else kinds.inner(hint, key)
        if depth == len(parents):
            break
        node = node[key]
    if isinstance(node, tuple):
        raise UserError(f'config.{path}: set the whole tuple, config.{".".join(map(str, parents))}')
    if hint is None or (not called and (hint is Any or isinstance(node[last], ConfigDict))):
        # No annotation: use the type of the current value.
        hint = Any if node[last] is None else type(node[last])
    try:
        value = as_config(value)
        trust.name(value)
        new = parse(value, hint) if isinstance(value, str) else coerce(value, hint)
        trust.name(new)  # also in a tuple or a mapping
        new = _with_references(new, hint, node[last], path)
        if isinstance(new, dict) and takes_mapping(hint):
            new = ConfigDict(new)
        whole = isinstance(new, ConfigDict) or is_plain(new, hint)
        if isinstance(node[last], ConfigDict) and not whole:
            raise UserError(
                f'config.{path} is made of fields: set one of those, config.{path}.…,'
                f' not the whole to {value!r}'
            )
        if TARGET in node:
            new = in_range(import_path(node[TARGET]), last, new)
    except (TypeError, ValueError) as e:
        raise UserError(f'config.{path}: {e}') from None
    with node.ignore_type():
        node[last] = new


def _unknown(config: ConfigDict, path: str) -> UserError:
    """The error for an unknown field. It suggests a field of the same name further inside
    (`optimizer.learning_rate` for `learning_rate`), or else the one with the nearest path.
    """
    known = [name for name, _ in leaves(config)]
    parent, _, last = path.rpartition('.')
    nodes = {name[: found.end()] for name in known for found in re.finditer(r'[^.]+', name)}
    inside = sorted(n for n in nodes if n.startswith(parent) and n.endswith(f'.{last}'))
    hint = f'; did you mean {min(inside, key=len)!r}?' if inside else nearest(path, known)
    return UserError(f'config has no field {path!r}{hint}')


def _with_references(value: Any, hint: Any, now: Any, path: str) -> Any:
    """Replaces `@module.name` in a parsed value by calls."""
    if isinstance(value, tuple):
        return tuple(_with_references(item, element_hint(hint), None, path) for item in value)
    if isinstance(value, dict):
        each = kinds.inner(hint, '')
        return {key: _with_references(item, each, None, path) for key, item in value.items()}
    if not isinstance(value, str) or not value.startswith('@'):
        return value
    try:
        return reference(value[1:], hint, now)
    except UserError as e:
        raise UserError(f'config.{path}: {e}') from None


def check_complete(config: Any, path: str = 'config') -> None:
    """Raises UserError if arguments without a default are not set, listing all of them."""
    if isinstance(config, ConfigDict | Mapping):
        if missing := [name for name, value in config.items() if value is MISSING]:
            options = ' '.join(f'--{path}.{name}=…' for name in missing)
            raise UserError(f'{path}: {config[TARGET]} needs {", ".join(missing)}: {options}')
        for name, value in config.items():
            check_complete(value, f'{path}.{name}')
    elif isinstance(config, tuple | list):
        for i, value in enumerate(config):
            check_complete(value, f'{path}[{i}]')


def with_fields(config: ConfigDict, fields: Mapping[str, Any]) -> ConfigDict:
    """Copies a config with other values in some fields, by path; fields that follow them are
    updated.

    Raises:
        UserError: a field does not exist, or a value does not fit it.
    """
    copy = copied(config)
    for path, value in fields.items():
        override(copy, path, value)
    check_complete(copy)
    return copy


def leaves(config: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yields `(path, value)` of every leaf field, in order."""
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
    """Returns a config for `build` with other `values` in some of its `leaves`, by path; they are
    not checked, and may be tracers.
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


def from_json(data: Any, folders: Sequence[str] = ()) -> Any:
    """Inverse of `to_json`. Upgrades configs of older code (`legacy`); missing fields get their
    defaults.

    Args:
        data: the config.
        folders: folders of modules that it names (`trust.check`).

    Raises:
        UserError: an unknown field or constructor; or a name that may not be imported, or is not of
            the kind of its field. Nothing is imported then.
    """
    data = legacy.renamed(data)
    trust.check(data, folders)
    return _from_json(legacy.upgraded(data), Any, 'config', folders)


def _from_json(data: Any, hint: Any, where: str, folders: Sequence[str]) -> Any:
    if isinstance(data, list):
        return tuple(
            _from_json(value, kinds.inner(hint, i), f'{where}[{i}]', folders)
            for i, value in enumerate(data)
        )
    if isinstance(data, str) and data.startswith('@') and not kinds.is_function_for(hint):
        raise UserError(f'{where}: the function {data[1:]} is not what this field takes')
    if not isinstance(data, Mapping):
        return data
    constructor, hints = None, {}
    if TARGET in data:
        try:
            constructor = import_path(data[TARGET])
        except UserError as e:
            raise UserError(f'{where}: {e}') from None
        hints = hints_of(constructor)
        result = Any if trust.is_vouched(data[TARGET]) else None
        if not kinds.gives(constructor, hints.get('return', result), hint):
            raise UserError(f'{where}: {data[TARGET]} does not give what this field takes')
        for name in getattr(constructor, 'IMPORTS', ()):
            if path := trust.builder_path(data.get(name)):
                trust.check('@' + path, folders, f'{where}.{name}')
    try:
        fields = {
            key: _from_json(
                value,
                hints.get(key, Any) if constructor else kinds.inner(hint, key),
                f'{where}.{key}',
                folders,
            )
            for key, value in data.items()
            if key != TARGET
        }
        return make_spec(constructor, fields) if constructor else Config(fields)
    except (TypeError, ValueError, KeyError) as e:
        raise UserError(f'saved config: {e}') from None


def fingerprint(config: ConfigDict) -> str:
    """SHA-256 of the resolved config."""
    return hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()
