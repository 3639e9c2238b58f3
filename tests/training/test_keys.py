"""Keys of evaluation, sampling and encoding are none of those that training draws from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.keys import key_of

FEW = jnp.arange(200, dtype=jnp.uint32)
PURPOSES = ('evaluation', 'samples', 'examples', 'codes')


def derived(key):
    """The key, and the first keys that splitting it or folding numbers into it gives."""
    first = jax.vmap(jax.random.fold_in, (None, 0))(key, FEW)
    return {bytes(data) for data in np.asarray(jax.random.key_data(jnp.append(first, key)))}


@pytest.mark.parametrize('seed', [0, 1, 2**32 - 1])
def test_no_purpose_shares_keys_with_training_or_another(seed):
    """Training splits the key of the seed; of the parts, one initialises, one is the steps'."""
    root = jax.random.key(seed)
    parts = jax.random.split(root, 3)
    streams = [derived(root).union(*map(derived, parts))]
    streams += [derived(key_of(seed, purpose)) for purpose in PURPOSES]
    assert sum(map(len, streams)) == len(set().union(*streams))
