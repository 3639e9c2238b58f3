"""Maxout units against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import MaxoutMLP

KEY = jax.random.key(0)


def test_units_are_the_largest_of_their_pieces():
    network = MaxoutMLP((6, 5), shape=(2, 2), pieces=3, num_classes=4)
    x, label = jax.random.normal(KEY, (7, 3)), jnp.arange(7) % 4
    params = network.init(KEY, x, label)['params']
    params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), params)
    h = np.concatenate([x, np.eye(4)[label]], axis=1)
    for name in ('Dense_0', 'Dense_1'):
        kernel, bias = np.asarray(params[name]['kernel']), np.asarray(params[name]['bias'])
        width = kernel.shape[1] // 3
        pieces = [h @ kernel[:, i : i + width] + bias[i : i + width] for i in (0, width, 2 * width)]
        h = np.max(pieces, axis=0)
    want = h @ np.asarray(params['output']['kernel']) + np.asarray(params['output']['bias'])
    got = network.apply({'params': params}, x, label)
    np.testing.assert_allclose(got, want.reshape(7, 2, 2), rtol=1e-5, atol=1e-5)


def test_one_number_an_example_by_default_and_labels_where_they_are_needed():
    x = jnp.zeros((3, 2))
    assert MaxoutMLP((4,)).init_with_output(KEY, x)[0].shape == (3,)
    with pytest.raises(UserError, match='labels'):
        MaxoutMLP((4,), num_classes=2).init(KEY, x)
