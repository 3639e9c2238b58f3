"""A convolutional detector with the methods of scikit-learn's classifiers."""

import functools
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from genjax.models import Classifier
from genjax.models.base import Variables
from genjax.networks import ConvNet

BATCH = 64


@dataclass
class Convolutional:
    """Two classes of square images in 0..255, given as rows.

    Attributes:
        seed: of the initialisation and the order of the rows.
        epochs: passes over the rows.
        model: the network; trained by Adam with a cosine schedule.
    """

    seed: int = 0
    epochs: int = 8
    model: Classifier = field(default_factory=lambda: Classifier(ConvNet((8, 16), pool=2), 2))

    def fit(self, x: np.ndarray, y: np.ndarray) -> 'Convolutional':
        """Trains on rows x [N, D] with classes y [N]; the last, smaller batch is left out."""
        x, y, random = _images(x), y.astype(np.int32), np.random.default_rng(self.seed)
        steps = self.epochs * (len(x) // BATCH)
        optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
        key = jax.random.key(self.seed)
        variables = self.model.init(key, {'x': x[:BATCH], 'label': y[:BATCH]})
        state = optimizer.init(variables['params'])
        step = jax.jit(functools.partial(_step, self.model, optimizer))
        for _ in range(self.epochs):
            order = random.permutation(len(x))
            for rows in order[: len(x) // BATCH * BATCH].reshape(-1, BATCH):
                variables, state = step(variables, state, {'x': x[rows], 'label': y[rows]})
        self._variables = variables
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities [N, 2] of the classes of rows x [N, D]."""
        classify = jax.jit(self.model.classify)
        logits = [
            classify(self._variables, part)
            for part in np.split(_images(x), range(500, len(x), 500))
        ]
        return np.asarray(jax.nn.softmax(jnp.concatenate(logits)))


def _images(x: np.ndarray) -> np.ndarray:
    side = round(x.shape[1] ** 0.5)
    return x.reshape(-1, side, side, 1).astype(np.float32) / 255


def _step(
    model: Classifier,
    optimizer: optax.GradientTransformation,
    variables: Variables,
    state: optax.OptState,
    batch: dict[str, Array],
) -> tuple[Variables, optax.OptState]:
    def loss(params):
        variables_of = {**variables, 'params': params}
        return jnp.mean(model.phases[0].loss(variables_of, batch, jax.random.key(0)).values)

    updates, state = optimizer.update(jax.grad(loss)(variables['params']), state)
    return {**variables, 'params': optax.apply_updates(variables['params'], updates)}, state
