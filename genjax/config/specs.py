"""Converts constructor calls to data and back."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict, FieldReference, config_dict

from genjax.config import trust
from genjax.config.mistakes import inside, line_of
from genjax.config.ranges import in_range
from genjax.config.references import following, joined
from genjax.config.show import Config
from genjax.config.signatures import hints_of, is_nnx, parameters_of, path_of, signature_of
from genjax.config.trust import TARGET, import_path
from genjax.config.types import coerce, only_type, takes_function
from genjax.errors import UserError, location, nearest

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Missing:
    """Placeholder for an argument without a default that is not set yet."""

    def __repr__(self) -> str:
        return '(missing)'

    def __reduce__(self) -> str:
        return 'MISSING'


MISSING = _Missing()


def spec(constructor: Callable, /, *args: Any, **fields: Any) -> ConfigDict:
    """Records the call `constructor(*args, **fields)` with every default filled in.

    Arguments are numbers, strings, tuples, mappings, functions, further specs, dataclasses and Flax
    modules, and `ml_collections.FieldReference`s: such a field follows the referenced field
    (`Experiment.steps`) until it is set itself.

    Raises:
        UserError: an argument is unknown, missing or mistyped; names its file and line.
    """
    caller = sys._getframe(1)
    try:
        made = make_spec(constructor, _by_name(constructor, args, fields))
        trust.name(made)
        return made
    except (TypeError, ValueError) as e:
        where = location(caller.f_code.co_filename, line_of(caller, getattr(e, 'path', ())))
        raise UserError(f'{where}: {e}') from None


def build(config: Any, where: str = 'config') -> Any:
    """Constructs the object that a config describes, innermost first.

    Raises:
        UserError: a constructor does not take or refuses a field; names its path.
    """
    if isinstance(config, ConfigDict | Mapping):
        fields = {k: build(v, f'{where}.{k}') for k, v in config.items() if k != TARGET}
        if TARGET not in config:
            return fields
        constructor = import_path(config[TARGET])
        for name, value in fields.items():
            try:
                fields[name] = in_range(constructor, name, value)
            except ValueError as e:
                raise UserError(f'{where}.{name}: {e}') from None
        try:
            _check_names(constructor, fields)
            return _call(constructor, fields)
        except (TypeError, ValueError, UserError) as e:
            raise UserError(f'{where}: {e}') from e
    if isinstance(config, tuple | list):
        return tuple(build(item, f'{where}[{i}]') for i, item in enumerate(config))
    if isinstance(config, str) and config.startswith('@'):
        return import_path(config[1:])
    return config


def _call(constructor: Callable, fields: Mapping[str, Any]) -> Any:
    if is_nnx(constructor):
        from genjax.bridge import from_nnx

        return from_nnx(constructor, **fields)
    return constructor(**fields)


def make_spec(constructor: Callable, fields: Mapping[str, Any]) -> ConfigDict:
    """Like `spec`, but raises TypeError or ValueError without the location."""
    _check_names(constructor, fields)
    hints = hints_of(constructor)
    config = Config({TARGET: path_of(constructor)}, convert_dict=False)
    for position, (name, default) in enumerate(parameters_of(constructor).items()):
        if name in fields:
            try:
                value = _checked(constructor, name, fields[name], hints.get(name, Any))
            except (TypeError, ValueError) as e:
                raise inside(e, (name, position), f'{constructor.__name__}.{name}') from None
        else:
            try:
                value = as_config(default)
            except (TypeError, ValueError):
                continue  # a default that is not data (e.g. a closure) stays with the constructor
        if value is None:
            value = config_dict.placeholder(only_type(hints.get(name, Any)))
        config[name] = value
    return config


def _checked(constructor: Callable, name: str, value: Any, hint: Any) -> Any:
    """Converts the value of an argument for a config."""
    if value is MISSING:
        return value
    value = as_config(value)
    follows = isinstance(value, FieldReference)
    now = in_range(constructor, name, coerce(value.get() if follows else value, hint))
    if not follows:
        return now
    if name in getattr(constructor, 'FOLLOWED', ()):
        return value
    return following(value, now, hint)


def reference(path: str, hint: Any, now: Any) -> ConfigDict | str:
    """Resolves `@module.name` in a field: a call of a class or function with its defaults,
    `MISSING` for arguments without one; or the function itself, if the field takes a function and
    this one does not return one (as `optax.constant_schedule` does).

    Args:
        path: `module.name`.
        hint: declared type of the field.
        now: current value; a call is replaced by a call.

    Raises:
        UserError: the name does not exist, or is not callable.
    """
    target = import_path(path)
    if not callable(target):
        raise UserError(f'{path} is a {type(target).__name__}, not a class or function')
    if not isinstance(target, type) and takes_function(hint) and not isinstance(now, ConfigDict):
        made = hints_of(target).get('return')
        if made is None or not takes_function(made):
            return f'@{path}'
    required = {
        name: MISSING
        for name, default in parameters_of(target).items()
        if default is inspect.Parameter.empty
    }
    return make_spec(target, required)


def _by_name(
    constructor: Callable, args: tuple[Any, ...], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of a call by name."""
    parameters = signature_of(constructor).parameters
    names = [n for n in parameters_of(constructor) if parameters[n].kind in _BY_POSITION]
    if len(args) > len(names):
        raise TypeError(
            f'{constructor.__name__} takes {len(names)} arguments by position, not {len(args)}'
        )
    given = dict(zip(names, args, strict=False))
    if twice := given.keys() & fields.keys():
        raise TypeError(f'{constructor.__name__} has two values for {min(twice)!r}')
    return given | fields


def _check_names(constructor: Callable, fields: Mapping[str, Any]) -> None:
    parameters = parameters_of(constructor)
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


def as_config(value: Any) -> Any:
    """Converts a value to config data; raises TypeError if that is impossible."""
    if value is None or isinstance(value, bool | int | float | str | ConfigDict | FieldReference):
        return value
    if isinstance(value, tuple | list):
        items = tuple(_item(item, i) for i, item in enumerate(value))
        return joined(items) if any(isinstance(i, FieldReference) for i in items) else items
    if isinstance(value, Mapping):
        fields = {key: _item(item, key) for key, item in value.items()}
        return Config(fields, convert_dict=False)
    if is_nnx(made := getattr(value, 'nnx_class', None)):  # of genjax.bridge
        return make_spec(made, value.kwargs)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return make_spec(type(value), _arguments(value))
    if callable(value):
        return '@' + path_of(value)
    raise TypeError(f'a config cannot hold {value!r}; give a number, a string, a tuple or a spec')


def _item(value: Any, key: str | int) -> Any:
    try:
        return as_config(value)
    except (TypeError, ValueError) as e:
        raise inside(e, (key, -1)) from None


def _arguments(value: Any) -> dict[str, Any]:
    """Non-default arguments of a dataclass instance."""
    found = {}
    for name, default in parameters_of(type(value)).items():
        try:
            argument = getattr(value, name)
        except AttributeError:
            made = type(value).__name__
            raise TypeError(f'{made} does not keep {name!r}; write spec({made}, …)') from None
        if argument is not default:
            found[name] = argument
    return found
