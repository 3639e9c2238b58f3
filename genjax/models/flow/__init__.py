"""Normalizing flows: bijections, and models built from them."""

from genjax.models.flow.autoregressive import Autoregressive
from genjax.models.flow.bases import StandardLogistic, StandardNormal
from genjax.models.flow.bijection import Bijection, Chain, Inverse, Repeat
from genjax.models.flow.conditioned import Conditioned
from genjax.models.flow.continuous import ContinuousFlow
from genjax.models.flow.coupling import Coupling
from genjax.models.flow.dequantised import DequantisedFlow
from genjax.models.flow.elementwise import Affine, Shift
from genjax.models.flow.flow import Flow, FlowSampling
from genjax.models.flow.linear import ActNorm, InvertibleLinear
from genjax.models.flow.permutations import Flatten, Permute, Reverse, Split, Squeeze, Tokens
from genjax.models.flow.spline import Spline

__all__ = [
    'ActNorm',
    'Affine',
    'Autoregressive',
    'Bijection',
    'Chain',
    'Conditioned',
    'ContinuousFlow',
    'Coupling',
    'DequantisedFlow',
    'Flatten',
    'Flow',
    'FlowSampling',
    'Inverse',
    'InvertibleLinear',
    'Permute',
    'Repeat',
    'Reverse',
    'Shift',
    'Spline',
    'Split',
    'Squeeze',
    'StandardLogistic',
    'StandardNormal',
    'Tokens',
]
