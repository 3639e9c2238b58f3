"""One trial of a sweep. This is known without JAX, which takes seconds to start."""

from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        id: the beginning of the hash of its whole config: it does not depend on the other trials.
        changes: what the sweep sets, by field.
        config: the whole.
    """

    id: str
    changes: dict[str, Any]
    config: ConfigDict


def title(changes: dict[str, Any]) -> str:
    """The changes of a trial, for people: `model.beta=0.5 seed=1`."""
    return ' '.join(f'{name}={value}' for name, value in changes.items())
