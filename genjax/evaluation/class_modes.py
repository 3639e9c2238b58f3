"""Mode coverage over combinations of classes, e.g. the thousand modes of stacked digits."""

from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import draw_like, label_protocol
from genjax.evaluation.labels import Classifier, Learner, everything, train_classifier
from genjax.evaluation.modes import modes_covered
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel.host import fetch


def stacked_modes(x: np.ndarray, classifier: Classifier, num_classes: int) -> np.ndarray:
    """The mode K² a + K b + c, int [N], of images [N, H, W, 3] whose channels show a, b and c."""
    channels = np.moveaxis(np.asarray(x), -1, 1)
    shown = classifier(channels.reshape(-1, *channels.shape[2:])).reshape(-1, 3)
    return shown @ num_classes ** np.arange(2, -1, -1)


def modes_kl(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """KL(sample mode frequencies ‖ mode probabilities), in nats.

    Exact samples give about (K - 1) / 2N instead of 0, for K modes and N samples. It is infinite if
    a sample shows a mode of probability 0.

    Args:
        counts: counts of the samples, [K].
        probabilities: mode probabilities of the data, [K].
    """
    shares = counts / np.sum(counts)
    present = shares > 0
    with np.errstate(divide='ignore'):
        return float(np.sum(shares[present] * np.log(shares[present] / probabilities[present])))


@dataclass(frozen=True)
class ClassModes(Evaluator):
    """Modes found among samples, for `Stacked` data (Metz et al., 2017; Lin et al., PacGAN, 2018).

    Each channel of a sample is classified by a classifier trained on single images, those of the
    training split of the data's `base`. Gives 'modes' (shown by at least one sample), 'num_modes',
    'kl' in nats (sample mode frequencies ‖ mode probabilities in the training split), 'kl_floor'
    (its approximate value for exact samples), 'classifier', the accuracy on single images of the
    test split, and 'protocol'.

    Attributes:
        num_samples: number of samples (26,000 in most papers).
        classifier: 'svm', or 'mlp' or 'cnn' for more than about ten thousand single images.
        batch_size: samples per batch.
    """

    num_samples: int = 26_000
    classifier: Learner = 'svm'
    batch_size: int = 1000

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the data are not stacked."""
        require(self, model, 'sample')
        base = getattr(data.dataset, 'base', None)
        if base is None or data.dataset.num_classes != base.num_classes**3:
            name = type(data.dataset).__name__
            raise UserError(f'ClassModes needs stacked pictures (Stacked), not {name}')
        classifier, own = train_classifier(base, self.classifier)
        x = draw_like(data, model, variables, self.num_samples, key, self.batch_size)
        x = fetch(data.preprocess.inverse(jax.device_put(x)))
        num_modes = data.dataset.num_classes
        shown = stacked_modes(x, classifier, base.num_classes)
        counts = np.bincount(shown, minlength=num_modes)
        # A mode combines three independent draws from the classes of `base`.
        classes = np.bincount(everything(base.source('train'))['label'], minlength=base.num_classes)
        share = classes / np.sum(classes)
        return {
            'modes': float(modes_covered(counts)),
            'num_modes': float(num_modes),
            'kl': modes_kl(counts, np.einsum('a,b,c->abc', share, share, share).ravel()),
            'kl_floor': (num_modes - 1) / (2 * self.num_samples),
            'classifier': own,
            'protocol': f'{self.classifier}, {self.num_samples} samples'
            + label_protocol(model, data),
        }
