"""Posterior inference: samples given an observation, and whether posteriors are calibrated."""

from genjax.inference.calibration import (
    Calibration,
    coverage_test,
    ess,
    expected_coverage,
    importance_weights,
    rank_test,
    sbc_ranks,
    tarp,
)
from genjax.inference.likelihood import likelihood_posterior
from genjax.inference.posterior import Posterior, posterior_samples
from genjax.inference.posterior_c2st import PosteriorC2ST, posterior_c2st

__all__ = [
    'Calibration',
    'Posterior',
    'PosteriorC2ST',
    'coverage_test',
    'ess',
    'expected_coverage',
    'importance_weights',
    'likelihood_posterior',
    'posterior_c2st',
    'posterior_samples',
    'rank_test',
    'sbc_ranks',
    'tarp',
]
