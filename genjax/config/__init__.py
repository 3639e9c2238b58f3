"""Experiments as data: `spec` describes a constructor call in an `ml_collections.ConfigDict`,
`build` makes it.

    config = spec(VAE, encoder=spec(MLP, features=(256, 256)), ...)   # every default is filled in
    model = build(config)                                              # VAE(encoder=MLP(...), ...)

Any importable constructor will do: a class, a dataclass, a Flax module, an optax function. Values
are numbers, strings, booleans, None, tuples, mappings, other specs, and importable functions (kept
as `'@module.name'`). `build` may run inside a traced function, with arrays in place of numbers.
"""

from genjax.config import origin, trust
from genjax.config.declared import declared
from genjax.config.fields import (
    check_complete,
    fingerprint,
    from_json,
    leaves,
    override,
    to_json,
    with_fields,
    with_leaves,
)
from genjax.config.files import call, load
from genjax.config.paths import absolute, moved, paths
from genjax.config.specs import TARGET, build, spec

__all__ = [
    'TARGET',
    'absolute',
    'build',
    'call',
    'check_complete',
    'declared',
    'fingerprint',
    'from_json',
    'leaves',
    'load',
    'moved',
    'origin',
    'override',
    'paths',
    'spec',
    'to_json',
    'trust',
    'with_fields',
    'with_leaves',
]
