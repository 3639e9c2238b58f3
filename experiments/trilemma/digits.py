"""Seven families on the 8x8 digits, at the same number of parameters and seconds of training.

genjax sweep --config=experiments/trilemma/digits.py:vae --workdir=runs/trilemma/digits/vae
"""

from typing import Literal

from experiments.trilemma.families import Sizes, experiment, steps_of
from genjax.data import Digits
from genjax.evaluation import PCA
from genjax.sweeps import seeds

FAMILIES = ('vae', 'gan', 'diffusion', 'flow_matching', 'few_step', 'autoregressive', 'flow')
SIZES = Sizes(
    vae=(192, 192),
    gan=(216, 216),
    latent=32,
    denoiser=96,
    few_step=88,
    flow=112,
    bound=50,
    draws=4,
    autoregressive=80,
)


def config(family: str, steps: int):
    """The run of a family."""
    return experiment(family, steps, Digits(), (8, 8, 1), SIZES, PCA(num=32), num_samples=300)


def get_config(family: Literal[FAMILIES] = 'vae'):
    """The run of a family, of the measured number of steps."""
    return config(family, steps_of('digits', family))


def sweep(family: str):
    """Five seeds."""
    del family
    return seeds(5)
