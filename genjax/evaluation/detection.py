"""Detection of generated data: classifiers between data and the samples of each model."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.evaluation.chunks import flat


def cross_generator_ap(
    real: np.ndarray,
    generated: Mapping[str, np.ndarray],
    *,
    learner: Callable[[int], Any] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Trains a detector on data against the samples of each generator, and tests it on those of all
    generators.

    Half of the data and of each set of samples trains, the other half tests. The score is average
    precision with samples as positives: samples that cannot be distinguished from data give their
    share of the test set, 1/2 for sets of one size.

    Args:
        real: data [N, ...].
        generated: samples [M, ...] by the name of their generator.
        learner: makes a detector from a seed: an object with `fit` and `predict_proba` of rows
            [N, D], as scikit-learn's classifiers. None: an MLP of 128 units on standardised rows.
        seed: of the halves and the detectors.

    Returns:
        Average precision by the generator trained on, then by the one tested on.

    Raises:
        UserError: a set has fewer than 20 rows.
    """
    from sklearn.metrics import average_precision_score  # slow to import

    sets = {'the data': real, **generated}
    for name, x in sets.items():
        if len(x) < 20:
            raise UserError(f'detection needs 20 rows of each set, and {name} has {len(x)}')
    random = np.random.default_rng(seed)
    halves = {name: _halves(flat(x).astype(np.float32), random) for name, x in sets.items()}
    real_train, real_test = halves.pop('the data')
    table: dict[str, dict[str, float]] = {}
    for name, (train, _) in halves.items():
        detector = (learner or _perceptron)(seed)
        x = np.concatenate([real_train, train])
        detector.fit(x, np.repeat([0, 1], [len(real_train), len(train)]))
        table[name] = {}
        for other, (_, test) in halves.items():
            score = detector.predict_proba(np.concatenate([real_test, test]))[:, 1]
            truth = np.repeat([0, 1], [len(real_test), len(test)])
            table[name][other] = float(average_precision_score(truth, score))
    return table


def _perceptron(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier  # slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = MLPClassifier((128,), alpha=1e-3, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), learner)


def _halves(x: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = x[random.permutation(len(x))]
    return x[: len(x) // 2], x[len(x) // 2 :]
