"""Contexts of networks of images that are maps and tokens, with the null condition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.networks import DiT, GatedPixelCNN, UNet
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
X, TIME = jax.random.normal(KEY, (3, *SHAPE)), jnp.array([0.1, 0.5, 0.9])
NETWORKS = {
    'unet': UNet(SHAPE, (8, 8), num_blocks=1, head_features=8),
    'dit': DiT(SHAPE, 4, 8, 2, 2, scan=True, remat='full'),
}


def random(variables):
    """Layers that start at zero would hide what is before them."""
    leaves, treedef = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    return treedef.unflatten(
        [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    )


@pytest.mark.parametrize(
    ('name', 'context_shape'),
    [
        full('unet', (8, 8, 2), id='unet-map'),
        pytest.param('unet', (4, 3), id='unet-text'),
        pytest.param('dit', (8, 8, 2), id='dit-map'),
        full('dit', (4, 3), id='dit-text'),
    ],
)
def test_the_output_follows_every_number_of_the_context(name, context_shape):
    network = NETWORKS[name].clone(context_shape=context_shape)
    context = jax.random.normal(KEY, (3, *context_shape))
    variables = random(jax.jit(network.init)(KEY, X, TIME, context))

    @jax.jit
    def probe(condition):
        def total(condition):
            out = network.apply(variables, X, TIME, condition)
            return jnp.sum(out**2), out

        slope, out = jax.grad(total, has_aux=True)(condition)
        return out, slope

    # As models pass it, flat and with the feature of the null condition.
    flat = jnp.pad(context.reshape(3, -1), ((0, 0), (0, 1)))
    out, slope = probe(flat)
    assert out.shape == X.shape
    assert np.all(slope != 0)
    null = jnp.zeros_like(flat).at[:, -1].set(1)
    assert np.all(np.any(probe(null)[0] != out, axis=(1, 2, 3)))
    if context_shape == (4, 3):  # the order of tokens matters
        turned = jnp.pad(context[:, ::-1].reshape(3, -1), ((0, 0), (0, 1)))
        assert np.any(probe(turned)[0] != out)
    if name == 'dit':
        got = jax.jit(network.apply)(variables, X, TIME, context)
        np.testing.assert_allclose(got, out, atol=1e-5)


def test_maps_of_another_size_are_refused():
    with pytest.raises(UserError, match=r'context_shape=\(4, 4, 1\).*sides are \(8, 8\)'):
        NETWORKS['unet'].clone(context_shape=(4, 4, 1)).init(KEY, X, TIME, jnp.zeros((3, 4, 4, 1)))


def test_a_pixel_cnn_sees_the_map_around_each_pixel_and_no_later_pixels():
    network = GatedPixelCNN((8, 8, 1), 4, 1, context_layers=2, context_shape=(8, 8, 2))
    context = jnp.pad(jax.random.normal(KEY, (3, 128)), ((0, 0), (0, 1)))
    variables = random(jax.jit(network.init)(KEY, X, context))

    @jax.jit
    def slopes(x, context):
        of_pixel = lambda *args: jnp.sum(network.apply(variables, *args)[:, 3, 4])  # noqa: E731
        return jax.grad(of_pixel, argnums=(0, 1))(x, context)

    by_x, by_context = slopes(X, context)
    seen = np.any(by_context[:, :-1].reshape(3, 8, 8, 2) != 0, axis=(0, 3))
    # Two of its convolutions, and the rows above by one of the gated layer.
    assert seen[3 - 2 : 3 + 3, 4 - 2 : 4 + 3].all() and not seen[6:].any()
    before = np.arange(64).reshape(8, 8) < 8 * 3 + 4
    assert np.any(by_x != 0) and not np.any(by_x[..., 0] * ~before)
    null = jnp.zeros_like(context).at[:, -1].set(1)
    out = jax.jit(network.apply)
    assert np.any(out(variables, X, null) != out(variables, X, context))
    with pytest.raises(UserError, match=r'context_shape=\(4, 4, 1\).*sides are \(8, 8\)'):
        network.clone(context_shape=(4, 4, 1)).init(KEY, X, jnp.zeros((3, 4, 4, 1)))
