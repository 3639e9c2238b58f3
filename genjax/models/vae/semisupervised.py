"""The VAE of few labels."""

import math
from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes
from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.checks import check_number
from genjax.models.classifier import Classifier
from genjax.models.vae.vae import VAE

# `split(key)[i]` is `fold_in(key, i)`: far from the keys that the VAE's loss splits off.
_STREAM = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedVAE(VAE):
    """M2 of Kingma et al., "Semi-supervised learning with deep generative models" (2014): a
    class-conditional VAE with a classifier q(class | x), which learns from labelled and unlabelled
    examples (label -1).

    With L(x, y) the bound of the VAE on log p(x | y) minus log K, a bound on log p(x, y), the loss
    is, in nats per example,

        labelled:    -L(x, y) - alpha log q(y | x)
        unlabelled:  -Σ_y q(y | x) (L(x, y) - log q(y | x)), a bound on -log p(x).

    Every bound is computed for all K classes, with the same noise. On the codes of another run
    (`EncodeLatents` in front of it) it is M1+M2.

    Parameter groups: those of `VAE`, and 'network' and 'head' of the classifier, as in
    `Classifier`. Metrics: those of `VAE`, averaged over q(y | x) or at the label; 'bound', the
    negated loss without alpha's term; and 'accuracy' of the classifier.

    Attributes:
        classifier: data to features [B, ...]; a linear head to the class logits is added.
        alpha: weight of the classification loss of a labelled example. The paper's is .1 times the
            number of all examples over that of labelled ones, where these are as rare in a batch as
            in the data.
    """

    classifier: nn.Module
    alpha: float = 1.0

    takes_unlabelled: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        if self.num_classes is None:
            raise UserError('SemiSupervisedVAE needs num_classes')
        check_number('SemiSupervisedVAE.alpha', self.alpha)

    @property
    def _groups(self) -> tuple[str, ...]:
        return (*super()._groups, 'network', 'head')

    @property
    def _classifier(self) -> Classifier:
        return Classifier(self.classifier, self.num_classes)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables of the VAE and of the classifier."""
        vae_key, key = jax.random.split(key)
        variables = super().init(vae_key, batch)
        new = self._classifier.init(key, {**batch, 'x': self.likelihood.centre(batch['x'])})
        return {name: {**variables[name], **new[name]} for name in variables}

    def classify(self, variables: Variables, x: Array) -> Array:
        """Computes the logits [B, K] of q(class | x) of x [B, *event]; `BayesClassifier` has those
        of p(class | x).
        """
        return self._classifier.classify(variables, self.likelihood.centre(x))

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        label, x = batch['label'], self.likelihood.centre(batch['x'])
        logits, state = self._classifier.logits(variables, x, jax.random.fold_in(key, _STREAM))
        variables = {**variables, 'state': state}
        loss_of_vae = super()._loss

        def given(label: Array) -> LossOutput:
            return loss_of_vae(variables, {**batch, 'label': label}, key)

        every = jnp.broadcast_to(jnp.arange(self.num_classes)[:, None], logits.shape[::-1])
        found = jax.vmap(given)(every)
        log_q, labelled = jax.nn.log_softmax(logits), label[:, None] >= 0
        weights = jnp.where(labelled, jax.nn.one_hot(label, self.num_classes), jnp.exp(log_q))

        def mean(values: Array) -> Array:
            """Mean [B] of values [K, B] over the classes."""
            return jnp.sum(weights * values.T, axis=-1)

        entropy = -jnp.sum(jnp.where(labelled, 0.0, weights * log_q), axis=-1)
        negated_bound = mean(found.values) + math.log(self.num_classes) - entropy
        mask = batch.get('mask', jnp.ones(len(label), bool))
        metrics = {
            **jax.tree.map(mean, found.metrics),
            'bound': -negated_bound,
            'accuracy': classes.accuracy(logits, label, mask),
        }
        # The mean of the changes leaves constants as they are.
        state = jax.tree.map(lambda a, b: a + jnp.mean(b - a, axis=0), state, found.state)
        loss = negated_bound + self.alpha * classes.cross_entropy(logits, label)
        return LossOutput(loss, metrics, state)
