"""Experiments as data: `spec` describes a constructor call in an `ml_collections.ConfigDict`,
`build` makes it.

    config = spec(VAE, encoder=spec(MLP, features=(256, 256)), ...)   # every default is filled in
    model = build(config)                                              # VAE(encoder=MLP(...), ...)

Any importable constructor will do: a class, a dataclass, a Flax module, an optax function. Values
are numbers, strings, booleans, None, tuples, mappings, other specs, and importable functions (kept
as `'@module.name'`). `build` may run inside a traced function, with arrays in place of numbers.
"""

import ast
import dataclasses
import hashlib
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from genjax.errors import UserError, nearest

TARGET = '_target_'


def spec(constructor: Callable, /, **fields: Any) -> ConfigDict:
    """Describes the call `constructor(**fields)` with every default filled in.

    Raises:
        UserError: an unknown, missing or mistyped argument, with the calling file and line.
    """
    caller = sys._getframe(1)
    try:
        return _spec(constructor, fields)
    except (TypeError, ValueError) as e:
        raise UserError(f'{_where(caller.f_code.co_filename, caller.f_lineno)}: {e}') from None


def build(config: Any, where: str = 'config') -> Any:
    """Makes the object that a config describes, innermost first.

    Raises:
        UserError: a field that the constructor does not take or that it refuses, with its path.
    """
    if isinstance(config, ConfigDict | Mapping):
        fields = {k: build(v, f'{where}.{k}') for k, v in config.items() if k != TARGET}
        if TARGET not in config:
            return fields
        constructor = _import(config[TARGET])
        try:
            _check_names(constructor, fields)
            return constructor(**fields)
        except (TypeError, ValueError, UserError) as e:
            raise UserError(f'{where}: {e}') from e
    if isinstance(config, tuple | list):
        return tuple(build(item, f'{where}[{i}]') for i, item in enumerate(config))
    if isinstance(config, str) and config.startswith('@'):
        return _import(config[1:])
    return config


def load(path: str, overrides: typing.Iterable[tuple[str, str]] = ()) -> ConfigDict:
    """Runs `get_config()` of a config file and applies `(dotted path, text)` overrides.

    `file.py:argument` calls `get_config('argument')`; a `.json` file holds a config as `to_json`
    writes it, or is the `config.json` of a run.

    Raises:
        UserError: a missing or failing file, or an override that does not fit.
    """
    config = _load_json(path) if path.endswith('.json') else call(path, 'get_config')
    if not isinstance(config, ConfigDict) or TARGET not in config:
        file = path.partition(':')[0]
        raise UserError(f'{file}: get_config() must return spec(Experiment, ...)')
    for name, text in overrides:
        override(config, name, text)
    return config


def call(path: str, function: str, otherwise: str = '') -> Any:
    """Runs a config file and returns what one of its functions returns, called with the argument in
    `file.py:argument` if there is one.

    Args:
        path: of the file.
        function: its name.
        otherwise: what a user whose file has no such function may do instead of writing it.

    Raises:
        UserError: a missing or failing file, or one without this function; with its line.
    """
    file, _, argument = path.partition(':')
    if not Path(file).is_file():
        raise UserError(f'there is no config file {file!r}')
    try:
        module_spec = importlib.util.spec_from_file_location('genjax_config_file', file)
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        if not hasattr(module, function):
            raise UserError(f'{file} has no function {function}(){otherwise}')
        return getattr(module, function)(*([argument] if argument else []))
    except UserError:
        raise
    except Exception as e:
        frames = [
            f for f in traceback.extract_tb(e.__traceback__) if f.filename == os.path.abspath(file)
        ]
        line = frames[-1].lineno if frames else getattr(e, 'lineno', 1)
        raise UserError(f'{_where(file, line)}: {type(e).__name__}: {e}') from e


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
    hint = _hints(_import(node[TARGET])).get(last) if TARGET in node else None
    if hint is None:  # no annotation: the value there now shows the type
        hint = Any if node[last] is None else type(node[last])
    is_reference = isinstance(value, str) and value.startswith('@')
    try:
        new = _parse(value, hint) if isinstance(value, str) else _coerce(value, hint)
        if isinstance(node[last], ConfigDict) and not is_reference and not _is_plain(new, hint):
            raise UserError(f'config.{path} is made of fields: set one of those, config.{path}.…')
        if isinstance(new, str) and new.startswith('@'):
            target = _import(new[1:])
            new = _spec(target, {}) if isinstance(target, type) else new
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
            return _spec(_import(data[TARGET]), fields)
        except (TypeError, ValueError) as e:
            raise UserError(f'saved config: {e}') from None
    if isinstance(data, list):
        return tuple(from_json(value) for value in data)
    return data


def fingerprint(config: ConfigDict) -> str:
    """SHA-256 of the resolved config."""
    return hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode()).hexdigest()


def _load_json(file: str) -> Any:
    try:
        data = json.loads(Path(file).read_text())
    except (OSError, ValueError) as e:
        raise UserError(f'cannot read {file}: {e}') from None
    inside = isinstance(data, dict) and isinstance(data.get('config'), dict) and TARGET not in data
    return from_json(data['config'] if inside else data)


def _spec(constructor: Callable, fields: Mapping[str, Any]) -> ConfigDict:
    _check_names(constructor, fields)
    hints = _hints(constructor)
    config = ConfigDict({TARGET: _path_of(constructor)}, convert_dict=False)
    for name, default in _parameters(constructor).items():
        if name in fields:
            try:
                value = _coerce(_as_config(fields[name]), hints.get(name, Any))
            except (TypeError, ValueError) as e:
                raise type(e)(f'{constructor.__name__}.{name}: {e}') from None
        else:
            try:
                value = _as_config(default)
            except (TypeError, ValueError):
                continue  # a default that is no data (a closure, say) stays the constructor's own
        if value is None:
            value = config_dict.placeholder(_only_type(hints.get(name, Any)))
        config[name] = value
    return config


def _check_names(constructor: Callable, fields: Mapping[str, Any]) -> None:
    parameters = _parameters(constructor)
    name = getattr(constructor, '__name__', str(constructor))
    for field in fields:
        if field not in parameters:
            takes = ', '.join(parameters)
            raise TypeError(
                f'{name} has no argument {field!r}{nearest(field, parameters)} (it takes: {takes})'
            )
    for parameter, default in parameters.items():
        if default is inspect.Parameter.empty and parameter not in fields:
            raise TypeError(f'{name} needs the argument {parameter!r}')


def _parameters(constructor: Callable) -> dict[str, Any]:
    """Names and defaults of the keyword arguments, without Flax's own `parent` and `name`."""
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    flax_own = (
        ('parent', 'name')
        if hasattr(constructor, '__linen_fields__') or _is_linen(constructor)
        else ()
    )
    factories = {
        f.name: f.default_factory()
        for f in (dataclasses.fields(constructor) if dataclasses.is_dataclass(constructor) else ())
        if f.default_factory is not dataclasses.MISSING
    }
    return {
        name: factories.get(name, p.default)
        for name, p in inspect.signature(constructor).parameters.items()
        if p.kind in by_keyword and name not in flax_own
    }


def _is_linen(constructor: Callable) -> bool:
    linen = sys.modules.get('flax.linen')
    return (
        linen is not None
        and isinstance(constructor, type)
        and issubclass(constructor, linen.Module)
    )


def _hints(constructor: Callable) -> dict[str, Any]:
    plain_class = isinstance(constructor, type) and not dataclasses.is_dataclass(constructor)
    annotated = constructor.__init__ if plain_class else constructor
    try:
        return typing.get_type_hints(annotated)
    except NameError:  # a name inside of one of them cannot be found, as in those of optax.adamw
        found = inspect.get_annotations(annotated)
        return {name: hint for name, hint in found.items() if not isinstance(hint, str)}
    except (TypeError, AttributeError):
        return {}


def _as_config(value: Any) -> Any:
    """A value as it can stand in a config; raises TypeError when it cannot."""
    if value is None or isinstance(value, bool | int | float | str | ConfigDict):
        return value
    if isinstance(value, tuple | list):
        return tuple(_as_config(item) for item in value)
    if isinstance(value, Mapping):
        return ConfigDict(
            {key: _as_config(item) for key, item in value.items()}, convert_dict=False
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _spec(type(value), {name: getattr(value, name) for name in _parameters(type(value))})
    if callable(value):
        return '@' + _path_of(value)
    raise TypeError(f'a config cannot hold {value!r}; give a number, a string, a tuple or a spec')


def _path_of(obj: Any) -> str:
    """The shortest import path under which `obj` is found: `optax.adam`, not
    `optax._src.alias.adam`.
    """
    module, name = getattr(obj, '__module__', None), getattr(obj, '__qualname__', '<none>')
    parts = (module or '').split('.')
    for end in range(1, len(parts) + 1):
        if getattr(sys.modules.get('.'.join(parts[:end])), name, None) is obj:
            return '.'.join([*parts[:end], name])
    raise TypeError(f'{obj!r} cannot be imported by name; define it at the top level of a module')


def _import(path: str) -> Any:
    module, _, name = path.rpartition('.')
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, ValueError) as e:
        raise UserError(f'cannot import {path!r}: {e}') from None
    except AttributeError:
        names = [n for n in dir(sys.modules[module]) if not n.startswith('_')]
        raise UserError(f'{module!r} has no {name!r}{nearest(name, names)}') from None


def _members(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return tuple(m for arg in typing.get_args(hint) for m in _members(arg)) if union else (hint,)


def _only_type(hint: Any) -> type:
    """The type of a None-able field for a typed placeholder; `object` when it is not a single plain
    one.
    """
    plain = [m for m in _members(hint) if m is not types.NoneType]
    return plain[0] if len(plain) == 1 and plain[0] in (bool, int, float, str) else object


def _coerce(value: Any, hint: Any) -> Any:
    """`value` as the type of `hint`; hints other than plain types, tuples and literals allow
    anything.
    """
    members = _members(hint)
    if isinstance(value, ConfigDict) or any(_fits(value, m) for m in members):
        return value
    for member in members:
        if member is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(member) is tuple and isinstance(value, tuple):
            args = typing.get_args(member)
            each = [args[0]] * len(value) if args[1:] == (...,) else args
            if len(each) == len(value):
                return tuple(_coerce(v, h) for v, h in zip(value, each, strict=True))
    literals = [
        v for m in members if typing.get_origin(m) is typing.Literal for v in typing.get_args(m)
    ]
    if literals:
        options = ', '.join(map(repr, literals))
        raise ValueError(
            f'{value!r} is not one of {options}{nearest(str(value), map(str, literals))}'
        )
    names = ' or '.join(
        'None' if m is types.NoneType else getattr(m, '__name__', str(m)) for m in members
    )
    raise TypeError(f'{value!r} is not of type {names}')


def _fits(value: Any, hint: Any) -> bool:
    if hint is types.NoneType or hint is None:
        return value is None
    if hint in (int, float, str):
        return isinstance(value, hint) and not isinstance(value, bool)
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is bool or hint is tuple:
        return isinstance(value, hint)
    return typing.get_origin(hint) is not tuple


def _is_plain(value: Any, hint: Any) -> bool:
    """Whether `hint` names the type of a number, or None: such may stand in place of a spec."""
    members = _members(hint)
    if value is None:
        return types.NoneType in members
    return type(value) in (int, float) and bool({int, float} & set(members))


def _parse(text: str, hint: Any) -> Any:
    """Reads command-line text as a value of type `hint`."""
    members = _members(hint)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {'true': True, 'false': False}.get(text.lower(), text)
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, float) and value.is_integer() and int in members and float not in members:
        value = int(value)
    if str in members and not (type(value) in members or (type(value) is int and float in members)):
        value = text
    tuples = [m for m in members if typing.get_origin(m) is tuple]
    if tuples and not isinstance(value, tuple) and not any(_fits(value, m) for m in members):
        value = (value,)
    return _coerce(value, hint)


def _where(file: str, line: int) -> str:
    relative = os.path.relpath(file)
    return f'{file if relative.startswith("..") else relative}:{line}'
