"""Experiments as data: `spec` records a constructor call in an `ml_collections.ConfigDict`, and
`build` executes it.

    config = spec(VAE, encoder=MLP((256, 256)), ...)   # every default is filled in
    model = build(config)                              # VAE(encoder=MLP(...), ...)

Any importable constructor is supported: a class, a dataclass, a Flax module, an optax function.
Values are numbers, strings, booleans, None, tuples, mappings, dataclasses and Flax modules, other
specs (of what keeps no record of its arguments, such as an optimizer), `FieldReference`s, and
importable functions (kept as `'@module.name'`). `build` may run inside a traced function, with
arrays instead of numbers.
"""

from ml_collections import FieldReference

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
from genjax.config.specs import TARGET, as_config, build, spec

__all__ = [
    'TARGET',
    'FieldReference',
    'absolute',
    'as_config',
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
