"""Three clusters in eight dimensions and how a small network learns them in about a second."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.networks import TimeMLP

MEANS = np.random.RandomState(0).choice([-0.7, 0.7], (3, 8)).astype(np.float32)
SCALE = 0.3
STD = float(np.sqrt(np.mean(np.var(MEANS, axis=0)) + SCALE**2))


def draw(key, num):
    """A batch of `num` points, each with its cluster as label."""
    label_key, key = jax.random.split(key)
    label = jax.random.randint(label_key, (num,), 0, len(MEANS))
    mean = jnp.asarray(MEANS)[label]
    return {'x': mean + SCALE * jax.random.normal(key, (num, 8)), 'label': label}


def cluster(x):
    """The nearest cluster of each point."""
    return jnp.argmin(jnp.sum((x[:, None] - MEANS) ** 2, axis=-1), axis=-1)


@functools.cache
def train(model, draw=draw, num_steps=500, batch_size=128, learning_rate=5e-3):
    """Variables of the model after as many steps of Adam on all phases at once."""
    phases = model.phases
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))

    @jax.jit
    def run(key):
        data_key, init_key, key = jax.random.split(key, 3)
        start = model.init(init_key, draw(data_key, 2))

        def step(carry, key):
            params, opt_state = carry
            data_key, key = jax.random.split(key)
            batch = draw(data_key, batch_size)

            def loss(params):
                losses = [phase.loss({**start, 'params': params}, batch, key) for phase in phases]
                return sum(jnp.mean(loss.values) for loss in losses)

            updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        carry = start['params'], optimizer.init(start['params'])
        params = jax.lax.scan(step, carry, jax.random.split(key, num_steps))[0][0]
        return {**start, 'params': params}

    return run(jax.random.key(0))


class Unlabelled(nn.Module):
    """A denoiser that is given labels and ignores them, so that guidance alone can act."""

    shape: tuple = (8,)
    num_classes: int | None = None

    @nn.compact
    def __call__(self, x, time, label=None):
        del label
        return TimeMLP(self.shape, 64, 2, time_scale=100.0)(x, time)
