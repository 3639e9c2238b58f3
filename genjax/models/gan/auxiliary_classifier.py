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
