"""The U-Net whose layers keep magnitudes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax.networks import MPUNet
from genjax.networks.mp_unet import MPLinear, mp_concatenate, mp_silu, mp_sum, unit_pixels
from genjax.training.optimizers import forced_norm

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def test_every_part_keeps_the_variance():
    a, b = jax.random.normal(KEY, (2, 40_000, 12))
    linear = MPLinear(5)
    out = linear.apply(linear.init(KEY, a), a)
    np.testing.assert_allclose(jnp.std(out, axis=0), 1.0, rtol=0.02)
    for value in (mp_silu(a), mp_sum(a, b, 0.3), unit_pixels(3.0 * a)):
        assert float(jnp.mean(value**2)) == pytest.approx(1.0, rel=0.02)
    joined = mp_concatenate(a, b[:, :4])
    assert float(jnp.mean(joined**2)) == pytest.approx(1.0, rel=0.02)
    first, second = (jnp.sum(part**2) for part in (joined[:, :12], joined[:, 12:]))
    assert float(first / second) == pytest.approx(1.0, rel=0.02)


@pytest.mark.full
def test_activations_of_the_network_have_variance_1_whatever_the_scale_of_the_weights():
    network = MPUNet((8, 8, 1), (16, 24), 1, attention_at=(4,), head_features=12, num_classes=3)
    x, time, label = jax.random.normal(KEY, (16, 8, 8, 1)), jnp.linspace(-1, 1, 16), jnp.arange(16)
    params = network.init(KEY, x, time, label % 4)['params']
    assert jnp.all(network.apply({'params': params}, x, time, label % 4) == 0)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if path[-1].key == 'kernel' else leaf + 0.5, params
    )

    @jax.jit
    def run(params):
        return network.apply({'params': params}, x, time, label % 4, capture_intermediates=True)

    out, state = run(params)
    found = jax.tree_util.tree_leaves_with_path(state['intermediates'])
    sizes = {
        jax.tree_util.keystr(path): float(jnp.sqrt(jnp.mean(leaf**2)))
        for path, leaf in found
        if 'block' in str(path) and len(path) == 3  # outputs of blocks
    }
    assert len(sizes) > 6
    assert all(0.6 < size < 1.7 for size in sizes.values()), sizes
    scaled = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 7.0 * leaf if path[-1].key == 'kernel' else leaf, params
    )
    np.testing.assert_allclose(run(scaled)[0], out, atol=1e-4)


def test_forced_normalisation_keeps_kernels_and_is_the_step_of_its_optimizer_scaled():
    params = {'a': {'kernel': jax.random.normal(KEY, (3, 4, 5)), 'gain': jnp.ones(())}}
    gradient = jax.tree.map(lambda a: 0.3 * a + 0.1, params)
    optimizer = forced_norm(optax.sgd(0.5))
    changes, _ = optimizer.update(gradient, optimizer.init(params), params)
    new = optax.apply_updates(params, changes)
    plain = np.asarray(params['a']['kernel'] - 0.5 * gradient['a']['kernel'], np.float64)
    want = plain / np.sqrt(np.mean(plain**2, axis=(0, 1)))
    np.testing.assert_allclose(new['a']['kernel'], want, rtol=1e-5)
    assert float(new['a']['gain']) == pytest.approx(1 - 0.5 * 0.4)
