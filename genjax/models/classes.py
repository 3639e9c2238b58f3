"""Class logits [B, K], p(class | x) = softmax(logits), and labels that may be missing.

A label of -1 means unlabelled: in every model that takes such labels (its `takes_unlabelled` is
true), the example adds nothing to the class loss and is not counted in the accuracy.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.base import LogProb, Variables


def class_log_probs(model: Any, variables: Variables, x: Array, key: Array) -> LogProb:
    """Computes log p(x | class) [B, K] in nats of every class, with the same key for all, by the
    `log_prob` of a class-conditional model.
    """

    def of_class(label: Array) -> LogProb:
        return model.log_prob(variables, x, key, label=jnp.full(len(x), label))

    found = jax.lax.map(of_class, jnp.arange(model.num_classes))
    return found.replace(value=found.value.T)


def needed(model: Any) -> str:
    """Returns the method by which a model classifies: 'log_prob' if it is class-conditional and has
    no 'classify' of its own.
    """
    own, conditional = hasattr(model, 'classify'), getattr(model, 'num_classes', None) is not None
    return 'log_prob' if conditional and not own and hasattr(model, 'log_prob') else 'classify'


def classify(model: Any, variables: Variables, x: Array, key: Array) -> Array:
    """Computes class logits [B, K] of x [B, *event]: by the model's `classify`, or of a
    class-conditional model by Bayes' rule with equally likely classes, log p(x | class).
    """
    if needed(model) == 'classify':
        return model.classify(variables, x)
    return class_log_probs(model, variables, x, key).value


def class_posterior(log_px_y: Array, log_prior: Array, temperature: float = 1.0) -> Array:
    """Computes p(class | x) [B, K] ∝ p(x | class)^(1 / temperature) p(class): Bayes' rule.

    Args:
        log_px_y: log p(x | class) in nats, [B, K], each row up to a constant: those of
            `class_log_probs`, or the logits of a classifier minus the log of its training prior.
        log_prior: log p(class) [K].
        temperature: positive; above 1 for likelihoods that are too sure.
    """
    return jax.nn.softmax(log_px_y / temperature + log_prior, axis=-1)


def adapt_prior(log_px_y: Array, log_prior: Array, iterations: int) -> Array:
    """Estimates the log prior [K] of the classes from unlabelled examples, whose classes may be
    distributed otherwise than in training: the maximum of their likelihood, by EM (Saerens, Latinne
    & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", 2002).

    Args:
        log_px_y: log p(x | class) of the examples in nats, [B, K]; see `class_posterior`.
        log_prior: log prior [K] to begin with; a class of probability 0 keeps it.
        iterations: number of steps, each of which makes the prior the mean of the posteriors.
    """

    def step(_: int, log_prior: Array) -> Array:
        return jnp.log(jnp.mean(class_posterior(log_px_y, log_prior), axis=0))

    return jax.lax.fori_loop(0, iterations, step, jnp.asarray(log_prior))


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
