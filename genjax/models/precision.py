"""Matrix products in full float32 where their rounding would change an exact quantity."""

import functools
from collections.abc import Callable

import jax


def full_precision(function: Callable) -> Callable:
    """Computes the float32 matrix products and convolutions of `function` in float32.

    Without it a GPU rounds their operands to TF32 (10 bits of mantissa) and a TPU to bfloat16 (7
    bits): log-determinants, inverses and bounds then lose up to hundreds of nats. Networks called
    inside are covered too; one with `dtype='bfloat16'` keeps computing in bfloat16.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with jax.default_matmul_precision('highest'):
            return function(*args, **kwargs)

    return wrapped
