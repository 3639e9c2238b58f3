"""Label accuracy of translated images."""

import functools
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.labels import Learner, accuracy, train_classifier
from genjax.models.base import HasTranslation, Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class TranslationAccuracy(Evaluator):
    """Fraction of images of domain a whose translation a classifier of domain b assigns to their
    label.

    For data with domains `a` and `b` of the same classes (`Unpaired`). The classifier is trained on
    real images of b (its training split) and never sees a translation. Gives 'accuracy',
    'classifier' (its own accuracy on the test split of b, an approximate upper limit),
    'untranslated' (the accuracy on the images as they are in a) and 'protocol'.

    Attributes:
        classifier: 'svm', or 'mlp' or 'cnn' for more than about ten thousand examples.
        batch_size: images per batch.
    """

    classifier: Learner = 'svm'
    batch_size: int = 250

    def __call__(
        self, model: HasTranslation, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data do not have two labelled domains."""
        require(self, model, 'translate')
        if not hasattr(data.dataset, 'b'):
            name = type(data.dataset).__name__
            raise UserError(f'TranslationAccuracy needs two domains (Unpaired); {name} has one')
        classifier, own = train_classifier(data.dataset.b, self.classifier)
        parts = []
        for batch in data.batches(self.batch_size):
            translated, key = _translate(model, data.preprocess, variables, batch['x'], key)
            rows = translated, batch['x'][:, 0], batch['label']
            mask = fetch(batch['mask'])
            parts.append([row[mask] for row in fetch(rows)])
        translated, original, label = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return {
            'accuracy': accuracy(classifier, translated, label),
            'classifier': own,
            'untranslated': accuracy(classifier, original, label),
            'protocol': f'{self.classifier}, {len(label)} of {data.split}',
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _translate(
    model: HasTranslation, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> tuple[Array, Array]:
    """Images of b translated from x [B, 2, ...], in the range of the data, and the next key."""
    next_key, key = jax.random.split(key)
    y, _ = preprocess(x, key)
    return preprocess.inverse(model.translate(variables, y[:, 0])), next_key
