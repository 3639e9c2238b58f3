"""Posterior samples of a model beside those of a reference, by a classifier."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.simulators import observed
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.files import local, sha256
from genjax.inference import simulated
from genjax.models.base import Variables
from genjax.models.precision import full_precision
from genjax.protocols import protocol

# Those of scikit-learn's MLPClassifier, but for the number of epochs.
_BATCH_SIZE, _RATE, _DECAY_1, _DECAY_2, _PENALTY = 200, 1e-3, 0.9, 0.999, 1e-4
_TOLERANCE, _PATIENCE, _MOST_EPOCHS = 1e-4, 10, 10_000


def posterior_c2st(reference: np.ndarray, samples: np.ndarray, seed: int = 1) -> float:
    """Accuracy of the classifier of Lueckmann et al., "Benchmarking simulation-based inference"
    (2021), between two samples [N, P] and [M, P]: .5 if it cannot tell them apart.

    A multilayer perceptron with two hidden layers of 10 P rectified units, trained until its
    training loss stops to fall; the mean over five folds, on features scaled by the moments of the
    reference. Initialisation, optimizer, penalty and stopping are those of the `MLPClassifier` of
    scikit-learn, whose steps spend most of their time between the products of small matrices.
    """
    # Imported lazily: scikit-learn is slow to import.
    from sklearn.model_selection import KFold

    mean, std = np.mean(reference, axis=0), np.std(reference, axis=0, ddof=1)
    x = np.concatenate([(part - mean) / std for part in (reference, samples)]).astype(np.float32)
    label = np.repeat(np.float32([0, 1]), [len(reference), len(samples)])
    accuracies = []
    # On an accelerator, steps as small as these take longer.
    with jax.transfer_guard('allow'), jax.default_device(jax.local_devices(backend='cpu')[0]):
        for number, parts in enumerate(KFold(5, shuffle=True, random_state=seed).split(x)):
            key = jax.random.fold_in(jax.random.key(seed), number)
            (train, train_label), test = ((x[rows], label[rows]) for rows in parts)
            accuracies.append(float(_fold_accuracy(key, train, train_label, *test)))
    return float(np.mean(accuracies))


class _Fit(NamedTuple):
    """A classifier in training.

    Attributes:
        layers: weights [inputs, outputs] and biases [outputs] of each layer.
        moments: first and second of the gradients.
        steps: number of steps so far.
        best: the least training loss of an epoch.
        stale: epochs in a row that did not undercut it by the tolerance.
        epochs: number of epochs.
    """

    layers: list[tuple[Array, Array]]
    moments: tuple[Any, Any]
    steps: Array
    best: Array
    stale: Array
    epochs: Array


@jax.jit
@full_precision
def _fold_accuracy(key: Array, x: Array, label: Array, test: Array, test_label: Array) -> Array:
    """Trains on x [N, P] with labels [N], and returns the accuracy on the test rows."""
    size = min(_BATCH_SIZE, len(x))
    batches = -(-len(x) // size)
    start_key, key = jax.random.split(key)

    def loss(layers: list, rows: Array, weight: Array) -> Array:
        logit = _logits(layers, x[rows])
        num = jnp.sum(weight)
        penalty = sum(jnp.sum(kernel**2) for kernel, _ in layers)
        error = jax.nn.softplus(logit) - label[rows] * logit
        return (jnp.sum(weight * error) + 0.5 * _PENALTY * penalty) / num

    def step(carry: tuple, inputs: tuple[Array, Array]) -> tuple[tuple, Array]:
        layers, (first, second), steps = carry
        value, grads = jax.value_and_grad(loss)(layers, *inputs)
        steps = steps + 1
        first = jax.tree.map(lambda m, g: _DECAY_1 * m + (1 - _DECAY_1) * g, first, grads)
        second = jax.tree.map(lambda v, g: _DECAY_2 * v + (1 - _DECAY_2) * g**2, second, grads)
        rate = _RATE * jnp.sqrt(1 - _DECAY_2**steps) / (1 - _DECAY_1**steps)
        layers = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), layers, first, second
        )
        return (layers, (first, second), steps), value * jnp.sum(inputs[1])

    def epoch(fit: _Fit) -> _Fit:
        order = jax.random.permutation(jax.random.fold_in(key, fit.epochs), len(x))
        missing = batches * size - len(x)  # in the last batch
        rows = jnp.concatenate([order, jnp.zeros(missing, order.dtype)]).reshape(batches, size)
        weight = jnp.concatenate([jnp.ones(len(x)), jnp.zeros(missing)]).reshape(batches, size)
        carry, losses = jax.lax.scan(step, (fit.layers, fit.moments, fit.steps), (rows, weight))
        mean = jnp.sum(losses) / len(x)
        stale = jnp.where(mean > fit.best - _TOLERANCE, fit.stale + 1, 0)
        return _Fit(*carry, jnp.minimum(fit.best, mean), stale, fit.epochs + 1)

    def unfinished(fit: _Fit) -> Array:
        return (fit.stale <= _PATIENCE) & (fit.epochs < _MOST_EPOCHS)

    layers = _initial(start_key, x.shape[1])
    zeros = jax.tree.map(jnp.zeros_like, layers)
    start = _Fit(layers, (zeros, zeros), jnp.float32(0), jnp.float32(jnp.inf), 0, 0)
    fit = jax.lax.while_loop(unfinished, epoch, start)
    return jnp.mean((_logits(fit.layers, test) > 0) == (test_label > 0.5))


def _initial(key: Array, size: int) -> list[tuple[Array, Array]]:
    """Uniform weights and biases, of the variance of Glorot & Bengio (2010)."""
    widths = (size, 10 * size, 10 * size, 1)
    layers = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        bound = math.sqrt(6 / (before + after))
        keys = jax.random.split(jax.random.fold_in(key, number))
        kernel = jax.random.uniform(keys[0], (before, after), minval=-bound, maxval=bound)
        layers.append((kernel, jax.random.uniform(keys[1], (after,), minval=-bound, maxval=bound)))
    return layers


def _logits(layers: list[tuple[Array, Array]], x: Array) -> Array:
    *hidden, (kernel, bias) = layers
    for before, shift in hidden:
        x = jax.nn.relu(x @ before + shift)
    return (x @ kernel + bias)[:, 0]


@dataclass(frozen=True)
class PosteriorC2ST(Evaluator):
    """Classifier two-sample test of posterior samples: those of a model of `Simulations`, NPE or
    NLE, against reference samples given the same observations (see `posterior_c2st`).

    Gives 'c2st', the mean accuracy over the observations (.5: indistinguishable), its 'stderr' over
    them, 'worst', the largest, 'leakage' (the mean share of draws outside the prior) and
    'protocol'.

    Attributes:
        reference: a .npz file with observations 'obs_1' [*X], 'obs_2', … of the task, and reference
            samples 'ref_1' [N, P], … given each; None: exact samples given observations of the
            split, of a task with `posterior_sample`.
        num_observations: number of observations; fewer if the file has fewer.
        num_samples: samples of either kind per observation; fewer if the file has fewer.
    """

    reference: str | None = None
    num_observations: int = 10
    num_samples: int = 10_000

    PATHS: ClassVar[tuple[str, ...]] = ('reference',)

    def __post_init__(self):
        if self.num_observations < 1 or self.num_samples < 10:
            raise UserError('PosteriorC2ST needs num_observations >= 1, and num_samples >= 10')

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data are no simulations, or there is no
        reference.
        """
        simulated.check(self, data)
        with jax.transfer_guard('allow'):
            return self._results(model, variables, data, key)

    def _results(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        seeds = np.random.SeedSequence(data.seed).generate_state(self.num_observations)
        accuracies, leakages = [], []
        for number, (x, reference) in enumerate(self._references(data, key)):
            seed = int(seeds[number])
            found = simulated.samples(
                model, variables, data.dataset, data.preprocess, x, len(reference), seed
            )
            accuracies.append(posterior_c2st(reference, found.samples))
            leakages.append(found.leakage)
        spread = np.std(accuracies, ddof=1) if len(accuracies) > 1 else math.nan
        return {
            'c2st': float(np.mean(accuracies)),
            'stderr': float(spread / math.sqrt(len(accuracies))),
            'worst': max(accuracies),
            'leakage': float(np.mean(leakages)),
            'protocol': protocol(
                reference='exact' if self.reference is None else sha256(self._path)[:12],
                classifier='MLP 10 P, 5 folds',
                observations=len(accuracies),
                samples=len(reference),
                seed=data.seed,
            ),
        }

    @property
    def _path(self) -> Path:
        path = Path(local(self.reference))
        if not path.is_file():
            raise UserError(f'PosteriorC2ST.reference={self.reference}: there is no such file')
        return path

    def _references(
        self, data: EvaluationData, key: Array
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Observations as the model takes them, and reference samples given each."""
        task = data.dataset.task
        if self.reference is not None:
            with np.load(self._path) as file:
                for number in range(1, self.num_observations + 1):
                    if f'ref_{number}' in file:
                        x = observed(task, file[f'obs_{number}'].astype(np.float32))
                        yield np.asarray(x), file[f'ref_{number}'][: self.num_samples]
            return
        if not hasattr(task, 'posterior_sample'):
            raise UserError(
                f'PosteriorC2ST: the posterior of {type(task).__name__} is not known exactly, give'
                ' a reference'
            )
        name = 'context' if data.dataset.modelled == 'parameters' else 'x'
        rows = data.dataset.source(data.split)[np.arange(self.num_observations)]
        for number, x in enumerate(rows[name]):
            exact = task.posterior_sample(jax.random.fold_in(key, number), x, self.num_samples)
            yield x, np.asarray(exact)
