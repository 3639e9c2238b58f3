"""Constructor calls as data, and back."""

import copy
import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference, config_dict

from genjax.config import show, trust
from genjax.config.mistakes import inside, line_of
from genjax.config.ranges import in_range
from genjax.config.trust import TARGET, import_path
from genjax.config.types import coerce, only_type, takes_function
from genjax.errors import UserError, location, nearest


class Config(ConfigDict):
    """A `ConfigDict` that prints as the calls that make it."""

    def __repr__(self) -> str:
        try:
            return show.calls(self)
        except UserError:  # a constructor that is gone
            return super().__repr__()

    __str__ = __repr__


class _Missing:
    """Stands in a config for an argument that has no default and is still to be set."""

    def __repr__(self) -> str:
        return '(missing)'

    def __reduce__(self) -> str:
        return 'MISSING'


MISSING = _Missing()


def spec(constructor: Callable, /, *args: Any, **fields: Any) -> ConfigDict:
    """Describes the call `constructor(*args, **fields)` with every default filled in.

    Arguments are numbers, strings, tuples, mappings, functions, further specs, dataclasses and Flax
    modules, and `ml_collections.FieldReference`s: a field that holds one follows the field that the
    reference stands for (`Experiment.steps`), until it is set itself.

    Raises:
        UserError: an unknown, missing or mistyped argument, with its file and line.
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
    config = Config({TARGET: _path_of(constructor)}, convert_dict=False)
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
                continue  # a default that is no data (a closure, say) stays the constructor's own
        if value is None:
            value = config_dict.placeholder(only_type(hints.get(name, Any)))
        config[name] = value
    return config


def _checked(constructor: Callable, name: str, value: Any, hint: Any) -> Any:
    """The value of an argument as it stands in a config."""
    if value is MISSING:
        return value
    value = as_config(value)
    follows = isinstance(value, FieldReference)
    now = in_range(constructor, name, coerce(value.get() if follows else value, hint))
    if not follows:
        return now
    if name in getattr(constructor, 'FOLLOWED', ()):
        return value
    # One way: setting this field leaves the one that it follows alone.
    kind = only_type(hint) if now is None else type(now)
    return FieldReference(now, kind, _Op(lambda _, new: coerce(new, hint), (value,)))


class _Op(NamedTuple):
    """What a `FieldReference` computes: `fn(own value, *args)`."""

    fn: Callable
    args: tuple[Any, ...]


def copied(config: Any, seen: dict[int, Any] | None = None) -> Any:
    """Returns a copy whose fields follow those of the copy, and which holds no part twice."""
    seen = {} if seen is None else seen
    if isinstance(config, ConfigDict):
        new = Config(convert_dict=False)
        for name, value in config.items(preserve_field_references=True):
            new[name] = copied(value, seen)
        return new
    if isinstance(config, tuple):
        return tuple(copied(item, seen) for item in config)
    return copy.deepcopy(config, seen) if isinstance(config, FieldReference) else config


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
        for name, default in parameters_of(target).items()
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


def _by_name(
    constructor: Callable, args: tuple[Any, ...], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name."""
    names = list(parameters_of(constructor))
    if len(args) > len(names):
        raise TypeError(f'{constructor.__name__} takes {len(names)} arguments, not {len(args)}')
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


def parameters_of(constructor: Callable) -> dict[str, Any]:
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
    if value is None or isinstance(value, bool | int | float | str | ConfigDict | FieldReference):
        return value
    if isinstance(value, tuple | list):
        items = tuple(_item(item, i) for i, item in enumerate(value))
        if any(isinstance(item, FieldReference) for item in items):
            return FieldReference((), op=_Op(lambda _, *each: each, items))
        return items
    if isinstance(value, Mapping):
        fields = {key: _item(item, key) for key, item in value.items()}
        return Config(fields, convert_dict=False)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return make_spec(type(value), _arguments(value))
    if callable(value):
        return '@' + _path_of(value)
    raise TypeError(f'a config cannot hold {value!r}; give a number, a string, a tuple or a spec')


def _item(value: Any, key: str | int) -> Any:
    try:
        return as_config(value)
    except (TypeError, ValueError) as e:
        raise inside(e, (key, -1)) from None


def _arguments(value: Any) -> dict[str, Any]:
    """The arguments that a dataclass was called with, but for defaults."""
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


def _path_of(obj: Any) -> str:
    """The shortest import path under which `obj` is found: `optax.adam`, not
    `optax._src.alias.adam`. Names that a module makes up when asked (`genjax.Experiment`) do not
    count: stored configs name things where they are.
    """
    module, name = getattr(obj, '__module__', None), getattr(obj, '__qualname__', '<none>')
    parts = (module or '').split('.')
    for end in range(1, len(parts) + 1):
        module = sys.modules.get('.'.join(parts[:end]))
        if module is not None and vars(module).get(name) is obj:
            return '.'.join([*parts[:end], name])
    raise TypeError(f'{obj!r} cannot be imported by name; define it at the top level of a module')
