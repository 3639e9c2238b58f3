"""Scores that tell novel examples from those of the training distribution, and how well they do.

Of every score, larger is more novel. That of a log-probability alone is its negative.
"""

import io

import numpy as np

from genjax.errors import UserError

CODECS = ('png', 'jpeg2000')


def likelihood_ratio(log_prob: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Log-probability [N] under a background model, of what all images have in common, minus that
    under the model (Ren et al., "Likelihood ratios for out-of-distribution detection", 2019).
    """
    return np.asarray(background, np.float64) - log_prob


def complexity(log_prob: np.ndarray, x: np.ndarray, codec: str = 'png') -> np.ndarray:
    """Nats by which the model's code of an image is longer than that of a lossless codec (Serrà et
    al., "Input complexity and out-of-distribution detection", 2020).

    Args:
        log_prob: log-probability of the stored images in nats, [N].
        x: images uint8 [N, H, W, C], C = 1 or 3.
        codec: 'png' or 'jpeg2000', of Pillow.

    Raises:
        UserError: x are other arrays, or the codec is another.
    """
    from PIL import Image

    if codec not in CODECS:
        raise UserError(f'codec is one of {", ".join(CODECS)}, not {codec!r}')
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise UserError(
            f'complexity needs images uint8 [N, H, W, 1 or 3], not {x.dtype} {[*x.shape]}'
        )
    nats = []
    for image in x:
        file, grey = io.BytesIO(), image.shape[-1] == 1
        Image.fromarray(image[..., 0] if grey else image).save(file, codec, optimize=True)
        nats.append(8 * np.log(2) * len(file.getvalue()))
    return -np.asarray(log_prob, np.float64) - nats


def typicality(log_prob: np.ndarray, train_mean: float) -> np.ndarray:
    """Distance [N] of log-probabilities from their mean over the training data: the typicality test
    of Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models using
    typicality" (2019), for single examples.
    """
    return np.abs(np.asarray(log_prob, np.float64) - train_mean)


def energy(logits: np.ndarray) -> np.ndarray:
    """Free energy -log Σ_k exp(logits_k) [N] of class logits [N, K] (Liu et al., "Energy-based
    out-of-distribution detection", 2020, at temperature 1).
    """
    return -np.logaddexp.reduce(np.asarray(logits, np.float64), axis=1)


def mahalanobis(features: np.ndarray, train_features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance [N] to the nearest class mean, with one covariance for all
    classes (Lee et al., "A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks", 2018). Directions in which the training features do not vary count
    for nothing.

    Args:
        features: [N, D].
        train_features: [M, D].
        labels: classes int [M]; those of -1 (unlabelled) are left out.
    """
    labels = np.asarray(labels)
    means = {c: np.mean(train_features[labels == c], axis=0, dtype=np.float64)
             for c in np.unique(labels[labels >= 0])}  # fmt: skip
    if not means:
        raise UserError('mahalanobis needs labels: all are -1 (unlabelled)')
    centred = np.concatenate([train_features[labels == c] - mean for c, mean in means.items()])
    precision = np.linalg.pinv(centred.T @ centred / len(centred), hermitian=True)
    distances = [
        np.einsum('nd,de,ne->n', d, precision, d, optimize=True)
        for d in (features - mean for mean in means.values())
    ]
    return np.min(distances, axis=0)


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Probability that a novel example scores higher than one of the training distribution; equal
    scores count half. Area under the ROC curve.

    Args:
        inside: scores of the training distribution, [N].
        outside: scores of novel examples, [M].
    """
    from scipy.stats import rankdata

    scores = np.concatenate([_numbers(outside), _numbers(inside)])
    m, n = len(outside), len(inside)
    return float((np.sum(rankdata(scores)[:m]) - m * (m + 1) / 2) / (m * n))


def fpr_at(inside: np.ndarray, outside: np.ndarray, rate: float = 0.95) -> float:
    """Share of novel examples that pass if the threshold lets the share `rate` of the training
    distribution pass, or, where scores are equal, the least that is more: FPR95.

    Args:
        inside: scores of the training distribution, [N].
        outside: scores of novel examples, [M].
        rate: in (0, 1].
    """
    if not 0 < rate <= 1:
        raise UserError(f'rate={rate} must be above 0, and at most 1')
    ordered = np.sort(_numbers(inside))
    threshold = ordered[int(np.ceil(rate * len(ordered) - 1e-9)) - 1]
    return float(np.mean(_numbers(outside) <= threshold))


def _numbers(scores: np.ndarray) -> np.ndarray:
    if np.isnan(scores).any():
        raise UserError(f'{np.isnan(scores).sum()} of {len(scores)} novelty scores are NaN')
    return np.asarray(scores)
