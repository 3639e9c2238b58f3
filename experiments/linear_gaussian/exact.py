"""Bounds of log p(x) against its exact value, for a VAE whose decoder is linear.

    genjax train --config=configs/digits/linear.py --workdir=runs/linear
    python -m experiments.linear_gaussian.exact runs/linear

With z ~ N(0, I) and x | z ~ N(W z + b, σ² I), p(x) is N(b, W Wᵀ + σ² I). Prints the mean test
negative log-likelihood in nats: exact; the IWAE and AIS results of the run;
and of the best W and b of the same size for the training data, which are known too (Tipping &
Bishop, "Probabilistic principal component analysis", 1999).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.stats

from genjax.training import loading as runs
from genjax.training.results import cached_results


def nll(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, scale: float) -> float:
    """Mean exact negative log-density of x [N, D], given W as weight [K, D] and b [D]."""
    covariance = weight.T @ weight + scale**2 * np.eye(x.shape[1])
    return -float(np.mean(scipy.stats.multivariate_normal(bias, covariance).logpdf(x)))


def best_linear(x: np.ndarray, codes: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The W [codes, D] and b [D] that make the data x [N, D] most likely at a given scale."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    weight = np.sqrt(np.maximum(values - scale**2, 0)) * vectors
    return weight.T[::-1][:codes], np.mean(x, axis=0)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('workdir', type=Path)
    args = parser.parse_args()
    run = runs.load(args.workdir, 'latest')
    results = cached_results(run)
    if results is None:
        sys.exit(f'{args.workdir} has not been trained to its end')
    model, dataset = run.experiment.model, run.experiment.dataset
    codes = np.concatenate([np.zeros((1, model.latent_dim)), np.eye(model.latent_dim)])
    means = np.asarray(model.decode(run.state.averaged, codes.astype(np.float32), None))
    means = means.reshape(len(codes), -1).astype(np.float64)
    scale = model.likelihood.scale

    def pixels(split: str) -> np.ndarray:
        source = dataset.source(split)
        return source[np.arange(len(source))]['x'].reshape(len(source), -1) / 255

    # The results of the run are of the data as stored, 0..255.
    stored = np.log(255) * means.shape[1]
    exact = nll(pixels('test'), means[1:] - means[0], means[0], scale) + stored
    best = best_linear(pixels('train'), model.latent_dim, scale)
    rows = {
        'exact': exact,
        results['test_nll/protocol'].split(',')[0]: results['test_nll/nll'],
        results['ais/protocol'].split(', Scale')[0]: results['ais/nll'],
        'exact, best linear model': nll(pixels('test'), *best, scale) + stored,
    }
    print('| test nll, nats | | less exact |\n|---|---|---|')
    for name, value in rows.items():
        print(f'| {name} | {value:.3f} | {value - exact:+.3f} |')
    print(f'AIS, the upper less the lower bound on simulated data: {results["ais/gap"]:.3f} nats')


if __name__ == '__main__':
    main()
