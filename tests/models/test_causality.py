"""Outputs of autoregressive networks depend on what precedes, and on nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.networks import (
    TCN,
    CausalWindow,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    Recurrent,
    Transformer,
)
from tests.models.spread import KEY, spread
from tests.tiers import few, full

pytestmark = pytest.mark.slow

SEQUENCES = {
    'transformer': Transformer((6, 3), features=8, num_layers=2, num_heads=2, positions='rotary'),
    'transformer-remat': Transformer((6, 3), None, 8, 2, 2, scan=True, remat='dots'),
    'lstm': Recurrent((6, 3), features=5, num_layers=2),
    'gru': Recurrent((6, 3), features=5, cell='gru'),
    'tcn': TCN((6, 3), features=5, num_layers=2, kernel_size=3),
}


def _touched(network, places, features):
    """Whether the output at a place (row) has a gradient at the input of another (column)."""
    x = jax.random.normal(KEY, (1, *places, *features))
    params = jax.jit(lambda: spread(network.init(KEY, x), 0.3))()
    size = int(np.prod(places))

    @jax.jit
    def gradient(place):
        def output(x):
            return jnp.sum(network.apply(params, x).reshape(size, -1)[place] ** 2)

        return jax.grad(output)(x).reshape(size, -1)

    return np.array([np.any(np.asarray(gradient(place)) != 0, axis=-1) for place in range(size)])


@pytest.mark.parametrize('name', few(list(SEQUENCES), ['transformer', 'tcn']))
def test_sequence_networks_are_causal(name):
    touched = _touched(SEQUENCES[name], (6,), (3,))
    np.testing.assert_array_equal(touched, np.tri(6, dtype=bool))


@pytest.mark.parametrize(
    'network',
    [
        GatedPixelCNN((6, 5, 4), 5, 2),
        full(PixelCNNPlusPlus((6, 4, 4), 4, 1, 2)),
        CausalWindow((4, 3, 4), 3, (20,)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_a_pixel_depends_on_all_before_it_and_on_none_after(network):
    touched = _touched(network, network.shape[:2], (2,))
    np.testing.assert_array_equal(touched, np.tri(len(touched), k=-1, dtype=bool))


@pytest.mark.parametrize('natural', [False, True])
def test_made_depends_on_what_precedes_in_each_ordering(natural):
    network = MaskedAutoencoder((6,), (40, 40), num_masks=3, natural=natural, activation='tanh')
    x = jax.random.normal(KEY, (6,))

    @jax.jit
    def jacobians(x):
        params = spread(network.init(KEY, x[None]))
        return jax.vmap(
            lambda index: jax.jacrev(lambda x: network.apply(params, x[None], index)[0])(x)
        )(jnp.arange(3))

    orders = network.degrees()[0]
    assert len({tuple(order) for order in orders}) == (1 if natural else 3)
    for order, jacobian in zip(orders, np.asarray(jacobians(x)), strict=True):
        np.testing.assert_array_equal(jacobian != 0, order[None, :] < order[:, None])
