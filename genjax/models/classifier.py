"""The classifier."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables


@dataclass(frozen=True)
class Classifier:
    """A discriminative classifier p(class | x), trained by cross-entropy.

    Parameter groups: 'network' and 'head', a linear layer from its features to the class logits.
    Metric: 'accuracy'. An example with the label -1 is unlabelled: its loss is 0. The model
    implements `classify` and `features` instead of `sample`. With the network `MLP(())`, whose
    features are x itself, it is multinomial logistic regression.

    Attributes:
        network: data to features [B, ...], such as `MLP` without `shape`, or `ConvEncoder`.
        num_classes: number of classes K.
        label_smoothing: share of the target probability that is spread evenly over the classes.
    """

    network: nn.Module
    num_classes: int
    label_smoothing: float = 0.0

    takes_unlabelled: ClassVar[bool] = True

    def __post_init__(self):
        if self.num_classes < 2:
            raise UserError(f'Classifier.num_classes must be at least 2, not {self.num_classes}')
        flax_utils.check_shares(self, 'label_smoothing')

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('classifier', ('network', 'head'), self._loss),)

    @property
    def data_values(self) -> Values | None:
        """Values of order 1, unless the network takes tokens."""
        takes_tokens = getattr(self.network, 'vocab_size', None) is not None
        return None if takes_tokens else Values('Classifier', unit=True)

    @property
    def _head(self) -> nn.Module:
        return nn.Dense(self.num_classes)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only.

        Raises:
            UserError: the data have no labels.
        """
        if 'label' not in batch:
            raise UserError(
                f'Classifier.num_classes={self.num_classes}, and the data have no labels'
            )
        network_key, head_key = jax.random.split(key)
        variables = flax_utils.initialise(network_key, {'network': (self.network, (batch['x'],))})
        x = jax.eval_shape(self.features, variables, batch['x'])
        head = flax_utils.initialise(head_key, {'head': (self._head, (jnp.zeros(x.shape),))})
        return {**variables, 'params': {**variables['params'], **head['params']}}

    def classify(self, variables: Variables, x: Array) -> Array:
        """Computes the class logits [B, K] of x [B, *event]."""
        return self._logits(variables, self.features(variables, x))

    def features(self, variables: Variables, x: Array) -> Array:
        """Computes the network's features [B, D], the input of the head, of x [B, *event]."""
        return _rows(flax_utils.apply(self.network, variables, 'network', x)[0])

    def _logits(self, variables: Variables, features: Array) -> Array:
        return flax_utils.apply(self._head, variables, 'head', features)[0]

    def logits(self, variables: Variables, x: Array, key: Array) -> tuple[Array, Any]:
        """Computes the class logits [B, K] of x [B, *event] in training, and the new state."""
        h, state = flax_utils.apply(self.network, variables, 'network', x, train=True, key=key)
        return self._logits(variables, _rows(h)), state

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        logits, state = self.logits(variables, batch['x'], key)
        label = batch['label']
        values = classes.cross_entropy(logits, label, self.label_smoothing)
        mask = batch.get('mask', jnp.ones(len(label), bool))
        return LossOutput(values, {'accuracy': classes.accuracy(logits, label, mask)}, state)


def _rows(h: Array) -> Array:
    """Flattens features [B, ...] to float32 [B, D]."""
    return h.reshape(len(h), math.prod(h.shape[1:])).astype(jnp.float32)
