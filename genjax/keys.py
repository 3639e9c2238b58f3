"""Random keys for purposes other than training."""

import zlib
from typing import Literal

import jax
from jax import Array


def key_of(seed: int, purpose: Literal['evaluation', 'samples', 'examples', 'codes']) -> Array:
    """Derives a key for a purpose from a seed; works under `jax.transfer_guard('disallow')`.

    A hash of the purpose is folded in, so that the key differs from those of training: `init_state`
    splits `jax.random.key(seed)`, and `split(key)[i]` is `fold_in(key, i)`.
    """
    with jax.transfer_guard('allow'):
        return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
