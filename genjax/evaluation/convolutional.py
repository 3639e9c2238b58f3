"""A convolutional image classifier, for evaluating samples."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

_UPDATES, _BATCH = 2500, 128


class _Network(nn.Module):
    """Two convolutions, each with 2x2 max pooling, and a hidden layer."""

    num_classes: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Maps images [B, H, W, C] in 0..1 to logits [B, num_classes]."""
        for features in (32, 64):
            x = nn.max_pool(nn.relu(nn.Conv(features, (3, 3))(x)), (2, 2), (2, 2), 'SAME')
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(self.num_classes)(nn.Dropout(0.5, deterministic=not train)(x))


def fit(x: np.ndarray, label: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Trains the classifier with Adam for 2,500 updates on batches of 128, for any number of
    images.

    Args:
        x: [N, H, W, C], or [N, ...] with the last two axes those of the image, in 0..1.
        label: int [N].

    Returns:
        A function from images [M, ...] of the same shape to labels int [M].
    """
    x, label = _pictures(x), np.asarray(label, np.int32)
    network = _Network(int(label.max()) + 1)
    optimizer = optax.adam(optax.cosine_onecycle_schedule(_UPDATES, 3e-3))
    with jax.transfer_guard('allow'):
        key, params_key = jax.random.split(jax.random.key(0))
        params = network.init(params_key, x[:1])
        state = optimizer.init(params)

    @jax.jit
    def update(params, state, key, x, label):
        next_key, key = jax.random.split(key)

        def loss(params):
            logits = network.apply(params, x, train=True, rngs={'dropout': key})
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state, next_key

    random = np.random.RandomState(0)
    for _ in range(_UPDATES):
        rows = random.randint(len(x), size=_BATCH)
        params, state, key = update(params, state, key, *jax.device_put((x[rows], label[rows])))

    @jax.jit
    def predict(x):
        return jnp.argmax(network.apply(params, x), axis=-1)

    def classify(x: np.ndarray) -> np.ndarray:
        x = _pictures(x)
        rows = np.arange(0, len(x), 1000)
        # Pad the last batch with its last image, so that all have one shape.
        parts = [x[np.minimum(np.arange(row, row + 1000), len(x) - 1)] for row in rows]
        return np.concatenate([jax.device_get(predict(jax.device_put(p))) for p in parts])[: len(x)]

    return classify


def _pictures(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float32).reshape(*x.shape[:3], -1)
