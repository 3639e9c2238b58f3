"""Simulators with known priors: tasks of posterior inference, as in the benchmark of Lueckmann et
al. (2021).
"""

from genjax.data.simulators.base import Simulator
from genjax.data.simulators.dynamics import SIR, LotkaVolterra
from genjax.data.simulators.gaussian import GaussianLinear, GaussianMixture
from genjax.data.simulators.rescaled import Dequantised, Rescaled, observed
from genjax.data.simulators.slcp import SLCP
from genjax.data.simulators.two_moons import TwoMoons

__all__ = [
    'SIR',
    'SLCP',
    'Dequantised',
    'GaussianLinear',
    'GaussianMixture',
    'LotkaVolterra',
    'Rescaled',
    'Simulator',
    'TwoMoons',
    'observed',
]
