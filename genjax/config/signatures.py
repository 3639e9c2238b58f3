"""Arguments of constructors, and their import paths."""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any


def hints_of(constructor: Callable) -> dict[str, Any]:
    """Declared types of the arguments, as far as they can be resolved."""
    plain_class = isinstance(constructor, type) and not dataclasses.is_dataclass(constructor)
    annotated = constructor.__init__ if plain_class else constructor
    try:
        return typing.get_type_hints(annotated)
    except NameError:  # an annotation cannot be resolved, as in optax.adamw
        found = inspect.get_annotations(annotated)
        return {name: hint for name, hint in found.items() if not isinstance(hint, str)}
    except (TypeError, AttributeError):
        return {}


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
        for name, p in signature_of(constructor).parameters.items()
        if p.kind in by_keyword and name not in flax_own
    }


def signature_of(constructor: Callable) -> inspect.Signature:
    """Signature of a constructor; without `rngs`, which is supplied, of a module of `flax.nnx`."""
    if not is_nnx(constructor):
        return inspect.signature(constructor)
    # The metaclass of nnx hides the signature of the class.
    _, *own = inspect.signature(constructor.__init__).parameters.values()
    return inspect.Signature([parameter for parameter in own if parameter.name != 'rngs'])


def is_nnx(constructor: Any) -> bool:
    """Returns whether a constructor is a module class of `flax.nnx`."""
    return _is_module(constructor, 'flax.nnx')


def _is_linen(constructor: Any) -> bool:
    return _is_module(constructor, 'flax.linen')


def _is_module(constructor: Any, package: str) -> bool:
    flax = sys.modules.get(package)
    return (
        flax is not None and isinstance(constructor, type) and issubclass(constructor, flax.Module)
    )


def path_of(obj: Any) -> str:
    """Shortest import path of `obj`: `optax.adam`, not `optax._src.alias.adam`. Lazily created
    names (`genjax.Experiment`) do not count: stored configs use the defining module.
    """
    module, name = getattr(obj, '__module__', None), getattr(obj, '__qualname__', '<none>')
    parts = (module or '').split('.')
    for end in range(1, len(parts) + 1):
        module = sys.modules.get('.'.join(parts[:end]))
        if module is not None and vars(module).get(name) is obj:
            return '.'.join([*parts[:end], name])
    raise TypeError(f'{obj!r} cannot be imported by name; define it at the top level of a module')
