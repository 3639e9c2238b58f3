import jax
import jax.numpy as jnp
import numpy as np

from genjax.models import modules


def test_pick_is_take_along_axis():
    values = jax.random.normal(jax.random.key(0), (4, 3, 7)).at[0, 0, 0].set(-jnp.inf)
    index = jax.random.randint(jax.random.key(1), (4, 3), 0, 7).at[0, :2].set(0)

    def take(values, index):
        return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]

    np.testing.assert_array_equal(modules.pick(values, index), take(values, index))
    gradients = [
        jax.grad(lambda v, f=f: jnp.sum(f(v, index[1:]) ** 2))(values[1:])
        for f in (modules.pick, take)
    ]
    np.testing.assert_array_equal(*gradients)
