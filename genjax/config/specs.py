"""Constructor calls as data, and back."""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from genjax.config import trust
from genjax.config.ranges import in_range
from genjax.config.trust import TARGET, import_path
from genjax.config.types import coerce, only_type, takes_function
from genjax.errors import UserError, location, nearest


class _Missing:
    """Stands in a config for an argument that has no default and is still to be set."""

    def __repr__(self) -> str:
        return '(missing)'


MISSING = _Missing()


def spec(constructor: Callable, /, **fields: Any) -> ConfigDict:
    """Describes the call `constructor(**fields)` with every default filled in.

    Raises:
        UserError: an unknown, missing or mistyped argument, with the calling file and line.
    """
    caller = sys._getframe(1)
    try:
        made = make_spec(constructor, fields)
        trust.name(made)
        return made
    except (TypeError, ValueError) as e:
        raise UserError(f'{location(caller.f_code.co_filename, caller.f_lineno)}: {e}') from None


def build(config: Any, where: str = 'config') -> Any:
    """Makes the object that a config describes, innermost first.

    Raises:
        UserError: a field that the constructor does not take or that it refuses, with its path.
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
            return constructor(**fields)
        except (TypeError, ValueError, UserError) as e:
            raise UserError(f'{where}: {e}') from e
    if isinstance(config, tuple | list):
        return tuple(build(item, f'{where}[{i}]') for i, item in enumerate(config))
    if isinstance(config, str) and config.startswith('@'):
        return import_path(config[1:])
    return config


def make_spec(constructor: Callable, fields: Mapping[str, Any]) -> ConfigDict:
    """`spec` without the place of a mistake: raises TypeError or ValueError."""
    _check_names(constructor, fields)
    hints = hints_of(constructor)
    config = ConfigDict({TARGET: _path_of(constructor)}, convert_dict=False)
    for name, default in _parameters(constructor).items():
        if name in fields:
            try:
                value = fields[name]
                if value is not MISSING:
                    value = coerce(as_config(value), hints.get(name, Any))
                    value = in_range(constructor, name, value)
            except (TypeError, ValueError) as e:
                raise type(e)(f'{constructor.__name__}.{name}: {e}') from None
        else:
            try:
                value = as_config(default)
            except (TypeError, ValueError):
                continue  # a default that is no data (a closure, say) stays the constructor's own
        if value is None:
            value = config_dict.placeholder(only_type(hints.get(name, Any)))
        config[name] = value
    return config


def reference(path: str, hint: Any, now: Any) -> ConfigDict | str:
    """Reads `@module.name` in a field: the call of a class or function with its defaults, where
    `MISSING` stands for arguments without one; or the function itself, where the field takes one
    and this one does not make it (`optax.constant_schedule` does).

    Args:
        path: `module.name`.
        hint: the declared type of the field.
        now: its value, which such a call replaces with a call.

    Raises:
        UserError: there is nothing of this name, or it is not callable.
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
        for name, default in _parameters(target).items()
        if default is inspect.Parameter.empty
    }
    return make_spec(target, required)


def hints_of(constructor: Callable) -> dict[str, Any]:
    """The declared types of the arguments, as far as they can be found."""
    plain_class = isinstance(constructor, type) and not dataclasses.is_dataclass(constructor)
    annotated = constructor.__init__ if plain_class else constructor
    try:
        return typing.get_type_hints(annotated)
    except NameError:  # a name inside of one of them cannot be found, as in those of optax.adamw
        found = inspect.get_annotations(annotated)
        return {name: hint for name, hint in found.items() if not isinstance(hint, str)}
    except (TypeError, AttributeError):
        return {}


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


def as_config(value: Any) -> Any:
    """Returns a value as it can stand in a config; raises TypeError when it cannot."""
    if value is None or isinstance(value, bool | int | float | str | ConfigDict):
        return value
    if isinstance(value, tuple | list):
        return tuple(as_config(item) for item in value)
    if isinstance(value, Mapping):
        return ConfigDict({key: as_config(item) for key, item in value.items()}, convert_dict=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return make_spec(
            type(value), {name: getattr(value, name) for name in _parameters(type(value))}
        )
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
