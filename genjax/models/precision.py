"""Full float32 matrix products for exact quantities."""

import functools
from collections.abc import Callable

import jax


def full_precision(function: Callable) -> Callable:
    """Computes the float32 matrix products and convolutions of `function` in float32.

    By default a GPU rounds their operands to TF32 (10 bits of mantissa) and a TPU to bfloat16 (7
    bits): log-determinants, inverses and bounds are then wrong by up to hundreds of nats. Applies
    to networks called inside too; one with `dtype='bfloat16'` still computes in bfloat16.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with jax.default_matmul_precision('highest'):
            return function(*args, **kwargs)

    return wrapped
