"""The best mixture of Bernoullis on the 8x8 digits: what a VAE must beat to have learned anything.

    python -m experiments.digits_vae.mixture_of_bernoullis

Same split and same data as configs/digits/vae.py: bits drawn with probability x / 255. Training
sees ten draws of every picture; the number of components and the smoothing are chosen on
validation; the figure is the mean over ten draws of the test pictures. Exact likelihood, no bound.
Two minutes on two cores.
"""

import itertools

import numpy as np
import scipy.special

from genjax.data import Digits

COMPONENTS = (1, 10, 40, 80, 120, 160, 240)
SMOOTHING = (0.02, 0.05, 0.2, 1.0)
DRAWS = 10
ITERATIONS = 60


def binarise(split: str, seed: int) -> np.ndarray:
    """Draws the bits of a split, float64 [DRAWS, N, 64]."""
    source = Digits().source(split)
    probability = source[np.arange(len(source))]['x'].reshape(len(source), -1) / 255
    draws = np.random.RandomState(seed).random_sample((DRAWS, *probability.shape))
    return (draws < probability).astype(np.float64)


def log_joint(x: np.ndarray, weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log-probability of each x [N, D] together with each component, [N, K]."""
    on, off = np.log(probabilities), np.log1p(-probabilities)
    return x @ (on - off).T + np.sum(off, axis=-1) + np.log(weights)


def log_prob(x: np.ndarray, weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log-probability of each x [N, D] in nats, [N]."""
    return scipy.special.logsumexp(log_joint(x, weights, probabilities), axis=-1)


def fit(
    x: np.ndarray, components: int, smoothing: float, seed: int, iterations: int = ITERATIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expectation-maximisation with `smoothing` pseudo-counts of each value in each component.

    Returns:
        weights [K], probabilities [K, D], and before each iteration the log-posterior that it
        raises (up to a constant).
    """
    rows = np.random.RandomState(seed).permutation(len(x))[:components]
    probabilities = 0.25 + 0.5 * x[rows]
    weights = np.full(components, 1 / components)
    objective = []
    for _ in range(iterations):
        joint = log_joint(x, weights, probabilities)
        total = scipy.special.logsumexp(joint, axis=-1, keepdims=True)
        prior = np.sum(np.log(weights)) + np.sum(np.log(probabilities) + np.log1p(-probabilities))
        objective.append(np.sum(total) + smoothing * prior)
        responsibility = np.exp(joint - total)
        counts = np.sum(responsibility, axis=0)
        on = responsibility.T @ x
        probabilities = (on + smoothing) / (counts[:, None] + 2 * smoothing)
        weights = (counts + smoothing) / np.sum(counts + smoothing)
    return weights, probabilities, np.array(objective)


def main() -> None:
    """Fits the grid and prints one line a mixture, then the chosen one."""
    train, validation, test = (
        binarise(split, seed) for seed, split in enumerate(('train', 'validation', 'test'))
    )
    train, validation = train.reshape(-1, train.shape[-1]), validation.reshape(-1, train.shape[-1])
    results = []
    for components, smoothing in itertools.product(COMPONENTS, SMOOTHING):
        *mixture, _ = fit(train, components, smoothing * DRAWS, seed=0)
        draws = [-np.mean(log_prob(bits, *mixture)) for bits in test]
        nll = -np.mean(log_prob(validation, *mixture))
        results.append((nll, components, smoothing, np.mean(draws), np.std(draws, ddof=1)))
        print('validation {:.2f}  K={:<3} smoothing={:<4}  test {:.2f}'.format(*results[-1]))
    print(
        'chosen on validation: K={1} smoothing={2}, test {3:.2f} nats'.format(*min(results)), end=''
    )
    print(f' (standard deviation over {DRAWS} binarisations {min(results)[4]:.2f})')


if __name__ == '__main__':
    main()
