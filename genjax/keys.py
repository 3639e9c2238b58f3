"""Keys of a seed for purposes outside of training."""

import zlib
from typing import Literal

import jax
from jax import Array


def key_of(seed: int, purpose: Literal['evaluation', 'samples', 'examples', 'codes']) -> Array:
    """The key of a seed for a purpose outside of training; works under
    `jax.transfer_guard('disallow')`.

    Folding in a hash of the purpose sets it apart from the keys of training: `init_state` splits
    `jax.random.key(seed)`, and `split(key)[i]` is `fold_in(key, i)`.
    """
    with jax.transfer_guard('allow'):
        return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
