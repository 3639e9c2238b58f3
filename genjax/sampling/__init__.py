"""Drawing from a trained model, and applying it to examples, in the range of the data.

Sample `i` is a function of the seed and `i`, whatever draws it: `genjax sample`, the images during
training, an evaluator, or a `Run` in Python.
"""

from genjax.sampling.apply import (
    classify,
    decode,
    encode,
    features,
    interpolate,
    log_prob,
    reconstruct,
    translate,
)
from genjax.sampling.draw import draw, draws

__all__ = [
    'classify',
    'decode',
    'draw',
    'draws',
    'encode',
    'features',
    'interpolate',
    'log_prob',
    'reconstruct',
    'translate',
]
