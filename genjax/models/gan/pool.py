"""A pool of earlier samples, of which the discriminator sees some."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

Pool = Mapping[str, Array]


def empty(size: int, shape: tuple[int, ...]) -> Pool:
    """A pool for `size` images."""
    return {'images': jnp.zeros((size, *shape)), 'count': jnp.zeros(())}


def exchange(pool: Pool, images: Array, counts: Array, key: Array) -> tuple[Array, Pool]:
    """Passes images [B, *shape] through the pool, one after the other (Shrivastava et al., 2017,
    section 2.3; Zhu et al., CycleGAN, 2017): while it is not full, each is stored and returned;
    then, with probability ½, each is replaced by a random one of the pool and stored in its place.

    Args:
        pool: the pool.
        images: the images.
        counts: bool [B]; masked images are returned and not stored.
        key: for the choices.
    """
    size = len(pool['images'])

    def one(pool: Pool, inputs: tuple[Array, Array, Array]) -> tuple[Pool, Array]:
        image, counts, key = inputs
        swap_key, place_key = jax.random.split(key)
        full = pool['count'] >= size
        swaps = full & jax.random.bernoulli(swap_key)
        place = jax.random.randint(place_key, (), 0, size)
        place = jnp.where(full, place, pool['count'].astype(jnp.int32))
        earlier = pool['images'][place]
        stores = counts & (swaps | ~full)
        images = pool['images'].at[place].set(jnp.where(stores, image, earlier))
        count = jnp.minimum(pool['count'] + counts, size)
        return {'images': images, 'count': count}, jnp.where(stores & swaps, earlier, image)

    keys = jax.random.split(key, len(images))
    pool, shown = jax.lax.scan(one, pool, (images, counts, keys))
    return shown, pool
