"""Networks of `flax.nnx` as Linen modules."""

import inspect
from typing import Any

import flax.linen as nn
from flax import nnx
from flax.core import FrozenDict

__all__ = ['FromNNX', 'from_nnx']


class FromNNX(nnx.bridge.ToLinen):
    """A Linen module that builds and calls an `nnx.Module`; its arguments are fields of it.

    Parameters, batch statistics and other variables are collections as in Linen. The framework
    gives `rngs`. A method that takes `train` is told whether to apply dropout and to update batch
    statistics, as those of Linen modules are here.
    """

    metadata_fn: Any = None  # variables as plain arrays

    def __call__(self, *args: Any, nnx_method: Any = None, **options: Any) -> Any:
        """Calls a method of the module; what it sows as `nnx.Intermediate` is sown here."""
        sown: dict[str, Any] = {}

        def call(module: nnx.Module, *args: Any, **options: Any) -> Any:
            named = nnx_method is None or isinstance(nnx_method, str)
            method = getattr(type(module), nnx_method or '__call__') if named else nnx_method
            captured = nnx.capture(lambda m: method(m, *args, **options), nnx.Intermediate)
            out, found = captured(module)
            sown.update(nnx.to_pure_dict(found))
            return out

        out = super().__call__(*args, nnx_method=call, **options)
        for name, values in sown.items():
            if isinstance(values, tuple):  # not of an inner module
                self.sow('intermediates', name, values[-1])
        return out

    @nn.nowrap
    def clone(self, **changes: Any) -> 'FromNNX':
        """Returns a copy with other fields or arguments."""
        own = {name: changes.pop(name) for name in [*changes] if name in self.kwargs}
        return super().clone(**({'kwargs': self.kwargs.copy(own)} if own else {}), **changes)


def from_nnx(kind: type[nnx.Module], /, **arguments: Any) -> FromNNX:
    """Returns a Linen module for `kind(**arguments, rngs=...)`."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name != 'rngs'
    }
    return FromNNX(kind, kwargs=FrozenDict({**defaults, **arguments}))
