"""Standing statistics: batch statistics of a trained generator, computed anew for sampling."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions
from genjax.models.base import Variables

_STATISTICS = 'batch_stats'


def standing_statistics(
    model: Any, variables: Variables, key: Array, *, batches: int = 16, size: int = 64
) -> Variables:
    """Replaces the moving averages of a GAN's generator by averages over batches of samples of its
    final parameters (Brock et al., BigGAN, 2019, appendix A). A generator without batch statistics
    is returned unchanged.

    Args:
        model: a `GAN`.
        variables: its variables.
        key: for codes and labels.
        batches: number of batches.
        size: samples per batch.
    """
    old = variables['state'].get('generator', {})
    if _STATISTICS not in old:
        return variables

    def moved(value: float, key: Array) -> Any:
        """Moving averages after a batch, starting from this value."""
        z_key, label_key, network_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (size, model.latent_dim))
        condition = conditions.to_sample(model, label_key, size, None, None)
        start = jax.tree.map(lambda a: jnp.full_like(a, value), old[_STATISTICS])
        state = {**variables['state'], 'generator': {**old, _STATISTICS: start}}
        _, state = model._generate(
            {**variables, 'state': state}, z, condition, train=True, key=network_key
        )
        return state['generator'][_STATISTICS]

    @jax.jit
    def statistics(key: Array) -> Any:
        # Moving averages are m a + (1 - m) b: from a = 0 and 1 follow m and b, the batch's.
        return jax.tree.map(
            lambda zero, one: zero / (1.0 - (one - zero)), moved(0.0, key), moved(1.0, key)
        )

    every = [statistics(key) for key in jax.random.split(key, batches)]
    mean = jax.tree.map(lambda *a: jnp.mean(jnp.stack(a), axis=0), *every)
    generator = {**old, _STATISTICS: mean}
    return {**variables, 'state': {**variables['state'], 'generator': generator}}
