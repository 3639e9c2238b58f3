"""What a discriminator has to do with classes.

Besides taking the label as an input it can give class logits, and so classify. Both ways of doing
so read the same output of the network, [B, 1 + K]: one number about real or fake, then K classes.

- 'auxiliary' (AC-GAN; Odena et al., 2017): the first number is the logit of being real.
- 'k_plus_1' (Salimans et al., 2016; Odena, 2016): the output is a softmax over a class of fakes and
  the K classes of data, so the logit of being real is logsumexp(classes) - fake.

In both the class given "real" is softmax(classes). So the negative log-likelihood of a labelled
real under K + 1 classes is the non-saturating loss of its logit plus its class loss.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

Conditioning = Literal['input', 'auxiliary', 'k_plus_1']
CONDITIONINGS = ('input', 'auxiliary', 'k_plus_1')


def read(output: Array, conditioning: Conditioning) -> tuple[Array, Array | None]:
    """Returns the logits of being real [B], and class logits [B, K] if there are any."""
    output = output.astype(jnp.float32)
    if conditioning == 'input':
        return output.reshape(len(output)), None
    first, class_logits = output[:, 0], output[:, 1:]
    if conditioning == 'auxiliary':
        return first, class_logits
    return jax.nn.logsumexp(class_logits, axis=-1) - first, class_logits


def class_loss(class_logits: Array, label: Array) -> Array:
    """Cross-entropy in nats [B] of the labels int32 [B]; zero for the label -1 (unlabelled)."""
    one_hot = jax.nn.one_hot(label, class_logits.shape[-1])
    return -jnp.sum(one_hot * jax.nn.log_softmax(class_logits), axis=-1)


def accuracy(class_logits: Array, label: Array, mask: Array) -> Array:
    """The share of the labelled examples, among those in `mask` [B], whose class is found."""
    counts = mask & (label >= 0)
    found = counts & (jnp.argmax(class_logits, axis=-1) == label)
    return jnp.sum(found) / jnp.maximum(jnp.sum(counts), 1)


def complete(key: Array, label: Array, num_classes: int) -> Array:
    """Gives the unlabelled (-1) a uniform label, so that a sample can be drawn for it."""
    return jnp.where(label < 0, jax.random.randint(key, label.shape, 0, num_classes), label)
