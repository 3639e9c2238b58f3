"""Class logits [B, K], p(class | x) = softmax(logits), and labels that may be missing.

A label of -1 means unlabelled: in every model that takes such labels (its `takes_unlabelled` is
true), the example adds nothing to the class loss and is not counted in the accuracy.
"""

import jax
import jax.numpy as jnp
from jax import Array


def cross_entropy(logits: Array, label: Array, smoothing: Array | float = 0.0) -> Array:
    """Computes the cross-entropy [B] in nats of labels int32 [B]; 0 for -1 (unlabelled).

    Args:
        logits: [B, K].
        label: the classes.
        smoothing: share of the target probability that is spread evenly over all classes (Szegedy
            et al., 2016).
    """
    classes = logits.shape[-1]
    target = (1 - smoothing) * jax.nn.one_hot(label, classes) + smoothing / classes
    loss = -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)
    return jnp.where(label >= 0, loss, 0.0)


def accuracy(logits: Array, label: Array, mask: Array) -> Array:
    """Computes the classification accuracy over the labelled examples in `mask` [B]."""
    counts = mask & (label >= 0)
    found = counts & (jnp.argmax(logits, axis=-1) == label)
    return jnp.sum(found) / jnp.maximum(jnp.sum(counts), 1)


def complete(key: Array, label: Array, num_classes: int) -> Array:
    """Replaces missing labels (-1) by uniform ones, for conditional sampling."""
    return jnp.where(label < 0, jax.random.randint(key, label.shape, 0, num_classes), label)
