"""Posterior inference: samples given an observation, and whether posteriors are calibrated."""

from genjax.inference.calibration import (
    coverage_test,
    ess,
    expected_coverage,
    importance_weights,
    rank_test,
    sbc_ranks,
    tarp,
)
from genjax.inference.posterior import Posterior, posterior_samples

__all__ = [
    'Posterior',
    'coverage_test',
    'ess',
    'expected_coverage',
    'importance_weights',
    'posterior_samples',
    'rank_test',
    'sbc_ranks',
    'tarp',
]
