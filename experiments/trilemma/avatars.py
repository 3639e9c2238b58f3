"""Six families on rendered avatars, at the same number of parameters and seconds of training.

genjax sweep --config=experiments/trilemma/avatars.py:vae --workdir=runs/trilemma/avatars/vae

There is no autoregressive model: a sample would take 3,072 passes.
"""

from typing import Literal

from experiments.trilemma.families import Sizes, experiment, steps_of
from genjax.data import Avatars
from genjax.evaluation import RandomConvolutions
from genjax.sweeps import seeds

FAMILIES = ('vae', 'gan', 'diffusion', 'flow_matching', 'few_step', 'flow')
SIZES = Sizes(
    vae=(160,), gan=(232,), latent=32, denoiser=192, few_step=184, flow=54, bound=5, draws=1
)


def config(family: str, steps: int):
    """The run of a family."""
    data, shape = Avatars(form='pictures'), (32, 32, 3)
    return experiment(
        family, steps, data, shape, SIZES, RandomConvolutions(channels=(16, 32)), num_samples=1000
    )


def get_config(family: Literal[FAMILIES] = 'vae'):
    """The run of a family, of the measured number of steps."""
    return config(family, steps_of('avatars', family))


def sweep(family: str):
    """Five seeds."""
    del family
    return seeds(5)
