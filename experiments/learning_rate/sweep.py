"""Learning rates of three optimizers on the 8x8 digits: a VAE of 500 steps for each.

genjax sweep --config=experiments/learning_rate/sweep.py:adamw --launcher=vectorized --workdir=DIR
"""

from typing import Literal

import optax

from genjax.config import spec
from genjax.data import Binarise, Chain, Digits
from genjax.evaluation import Likelihood
from genjax.models import VAE
from genjax.networks import MLP
from genjax.sweeps import product, seeds
from genjax.training import DecayWeights, Experiment, MuonWeights

STEPS = 500
Optimizer = Literal['adamw', 'muon', 'schedule_free']


def get_config(optimizer: Optimizer = 'adamw'):
    """The run that the sweep changes."""
    optimizers = {
        'adamw': spec(optax.adamw, learning_rate=1e-3, mask=DecayWeights()),
        'muon': spec(
            optax.contrib.muon, learning_rate=1e-3, muon_weight_dimension_numbers=MuonWeights()
        ),
        'schedule_free': spec(optax.contrib.schedule_free_adamw, learning_rate=1e-3),
    }
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Binarise(),)),
        model=VAE(
            encoder=MLP((128, 128)),
            decoder=MLP((128, 128), shape=(8, 8, 1)),
            latent_dim=16,
            eval_samples=50,
        ),
        optimizer=optimizers[optimizer],
        steps=STEPS,
        batch_size=128,
        evals={'nll': Likelihood(split='validation', batch_size=200)},
        log_every=100,
    )


def sweep(optimizer: Optimizer = 'adamw'):
    """Eight rates, three seeds."""
    del optimizer
    rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
    return product({'optimizer.learning_rate': rates}, seeds(3))
