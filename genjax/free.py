"""Marks fields of dataclasses that a resumed run may change."""

import dataclasses
from typing import Any

__all__ = ['free']


def free(default: Any = dataclasses.MISSING, *, default_factory: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that a resumed run may change: the parameters after a step do not depend
    on it. `steps: int = free(1000)`; without a default the argument is required.
    """
    return dataclasses.field(
        default=default, default_factory=default_factory, metadata={'FREE': True}
    )
