"""Configs as text: as constructor calls, and field by field with types and descriptions."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from genjax.config.signatures import parameters_of, path_of, signature_of
from genjax.config.trust import TARGET, import_path
from genjax.errors import UserError

_WIDTH = 88
_ABSENT = '(not there)'
_ARRAY_LIKE = re.compile(r'Union\[Array, ndarray, bool, number, bool, int, float, complex\]')


class Config(ConfigDict):
    """A `ConfigDict` that prints as constructor calls, and takes any mapping for a part."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, dict | ConfigDict) and not isinstance(value, Config):
            value = Config(value)
        super().__setitem__(key, value)

    def __repr__(self) -> str:
        try:
            return calls(self)
        except UserError:  # a constructor that no longer exists
            return super().__repr__()

    __str__ = __repr__


def calls(config: Any, indent: int = 0) -> str:
    """Formats a config as constructor calls, without default arguments."""
    if isinstance(config, ConfigDict | Mapping):
        if TARGET not in config:
            items = [f'{key!r}: {calls(value, indent + 4)}' for key, value in config.items()]
            return _wrapped('{', items, '}', indent)
        constructor = import_path(config[TARGET])
        defaults = _defaults(constructor)
        items = [
            f'{name}={calls(config[name], indent + 4)}'
            for name in defaults
            if name in config and _plain(config[name]) != defaults[name]
        ]
        return _wrapped(f'{_short(config[TARGET])}(', items, ')', indent)
    if isinstance(config, tuple | list):
        items = [calls(value, indent + 4) for value in config]
        return _wrapped('(', items, ',)' if len(items) == 1 else ')', indent)
    if isinstance(config, str) and config.startswith('@'):
        return _short(config[1:])
    return repr(config)


class Field(NamedTuple):
    """A field of a config.

    Attributes:
        path: such as `model.beta`.
        value: as text; for a part with fields, the name of its constructor.
        type: declared type; '' if undeclared.
        description: first sentence on the field in the constructor's docstring.
    """

    path: str
    value: str
    type: str
    description: str


def fields(config: Any, path: str = '') -> Iterator[Field]:
    """Yields every field, depth first, in the order of the constructors."""
    described: dict[str, str] = {}
    types: dict[str, Any] = {}
    items = dict(config.items()) if isinstance(config, ConfigDict | Mapping) else {}
    if isinstance(config, tuple | list):
        items = {f'[{i}]': value for i, value in enumerate(config)}
    if target := items.pop(TARGET, None):
        constructor = import_path(target)
        described, types = _descriptions(constructor), _types(constructor)
        items = {name: items[name] for name in _defaults(constructor) if name in items}
    for name, value in items.items():
        inner = f'{path}{name}' if name.startswith('[') or not path else f'{path}.{name}'
        whole = isinstance(value, ConfigDict | Mapping) or _has_parts(value)
        target = value.get(TARGET, '') if isinstance(value, ConfigDict | Mapping) else ''
        shown = _short(target) if whole else repr(value)
        if shown:
            yield Field(inner, shown, types.get(name, ''), described.get(name, ''))
        if whole:
            yield from fields(value, inner)


def differences(config: Any, other: Any) -> Iterator[tuple[str, str, str]]:
    """Yields `(path, value, value in the other)` of the fields in which two configs differ. For
    parts with different constructors, fields that one of them lacks are skipped.
    """
    one, two = ({f.path: f.value for f in fields(each)} for each in (config, other))
    replaced: tuple[str, ...] = ()
    for path in dict.fromkeys([*one, *two]):
        here, there = one.get(path, _ABSENT), two.get(path, _ABSENT)
        inside = path.startswith(replaced) and _ABSENT in (here, there)
        if here != there and not inside:
            yield path, here, there
            replaced += (f'{path}.', f'{path}[')


def _has_parts(value: Any) -> bool:
    return isinstance(value, tuple | list) and any(
        isinstance(item, ConfigDict | Mapping) for item in value
    )


def _wrapped(start: str, items: list[str], end: str, indent: int) -> str:
    line = start + ', '.join(items) + end
    if '\n' not in line and len(line) + indent <= _WIDTH:
        return line
    inner = ' ' * (indent + 4)
    lines = ''.join(f'{inner}{item},\n' for item in items)
    return f'{start}\n{lines}{" " * indent}{end.lstrip(",")}'


def _short(path: str) -> str:
    """Name used in config files: `VAE`, `optax.adam`, `nn.Dense`."""
    package, _, name = path.rpartition('.')
    if path.startswith('genjax.') or not package:
        return name
    return f'{"nn" if package == "flax.linen" else package.rpartition(".")[2]}.{name}'


def _defaults(constructor: Callable) -> dict[str, Any]:
    """Default arguments, as data."""
    found = {}
    for name, default in parameters_of(constructor).items():
        try:
            found[name] = _plain(default)
        except TypeError:
            found[name] = inspect.Parameter.empty
    return found


def _plain(value: Any) -> Any:
    """Data comparable by value."""
    if isinstance(value, ConfigDict | Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = parameters_of(type(value))
        return {TARGET: path_of(type(value))} | {n: _plain(getattr(value, n)) for n in names}
    return '@' + path_of(value) if callable(value) else value


def _types(constructor: Callable) -> dict[str, str]:
    annotations = {
        name: parameter.annotation
        for name, parameter in signature_of(constructor).parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    return {name: _type(annotation) for name, annotation in annotations.items()}


def _type(annotation: Any) -> str:
    """Annotation without module prefixes."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _ARRAY_LIKE.sub('ArrayLike', re.sub(r'\b(?:\w+\.)+(\w+)', r'\1', text))


def _descriptions(constructor: Callable) -> dict[str, str]:
    """First sentences on the arguments in a Google-style docstring."""
    classes = constructor.__mro__ if inspect.isclass(constructor) else (constructor,)
    docs = [inspect.cleandoc(each.__doc__ or '') for each in reversed(classes)]
    lines = '\n'.join(docs).splitlines()
    found: dict[str, str] = {}
    inside, name = False, ''
    for line in lines:
        if line and not line.startswith(' '):
            inside = line in ('Attributes:', 'Args:')
        elif inside and (entry := re.match(r' {4}(\w+): (.*)', line)):
            name, found[entry[1]] = entry[1], entry[2]
        elif inside and name and line.strip():
            found[name] += ' ' + line.strip()
    return {name: re.split(r'(?<=[.;:]) ', text)[0].rstrip('.;:') for name, text in found.items()}
