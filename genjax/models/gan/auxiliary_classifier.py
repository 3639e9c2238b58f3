"""Class conditioning of a discriminator.

Instead of taking the label as an input, a discriminator can classify. Both variants use a network
output [B, 1 + K]: one real/fake output, then K class logits.

- 'auxiliary' (AC-GAN; Odena et al., 2017): the first output is the logit of being real.
- 'k_plus_1' (Salimans et al., 2016; Odena, 2016): the outputs are the logits of a softmax over a
  fake class and the K classes of data; the logit of being real is logsumexp(classes) - fake.

In both, p(class | real) = softmax(classes). So the negative log-likelihood of a labelled real under
K + 1 classes is the non-saturating loss of its logit plus its class loss.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

Conditioning = Literal['input', 'auxiliary', 'k_plus_1']
CONDITIONINGS = ('input', 'auxiliary', 'k_plus_1')


def read(output: Array, conditioning: Conditioning) -> tuple[Array, Array | None]:
    """Splits the output into real/fake logits [B] and class logits [B, K] (None for 'input')."""
    output = output.astype(jnp.float32)
    if conditioning == 'input':
        return output.reshape(len(output)), None
    first, class_logits = output[:, 0], output[:, 1:]
    if conditioning == 'auxiliary':
        return first, class_logits
    return jax.nn.logsumexp(class_logits, axis=-1) - first, class_logits


def class_loss(class_logits: Array, label: Array) -> Array:
    """Computes the cross-entropy [B] in nats of labels int32 [B]; 0 for -1 (unlabelled)."""
    one_hot = jax.nn.one_hot(label, class_logits.shape[-1])
    return -jnp.sum(one_hot * jax.nn.log_softmax(class_logits), axis=-1)


def accuracy(class_logits: Array, label: Array, mask: Array) -> Array:
    """Computes the classification accuracy over the labelled examples in `mask` [B]."""
    counts = mask & (label >= 0)
    found = counts & (jnp.argmax(class_logits, axis=-1) == label)
    return jnp.sum(found) / jnp.maximum(jnp.sum(counts), 1)


def complete(key: Array, label: Array, num_classes: int) -> Array:
    """Replaces missing labels (-1) by uniform ones, for conditional sampling."""
    return jnp.where(label < 0, jax.random.randint(key, label.shape, 0, num_classes), label)
