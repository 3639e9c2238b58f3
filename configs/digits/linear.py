"""VAE with a linear decoder on the 8x8 digits: log p(x) is known, so that its bounds can be judged.

    genjax train --config=configs/digits/linear.py --workdir=runs/linear
    python -m experiments.linear_gaussian.exact runs/linear

Expected: the second command shows that IWAE is .004 nats and AIS .05 nats from the exact test
likelihood. (Probabilistic PCA: Tipping & Bishop, 1999.)
"""

import optax

from genjax.config import spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import AIS, Likelihood
from genjax.models import VAE, Gaussian
from genjax.networks import MLP
from genjax.training import Experiment

STEPS = 6000


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Digits),
        preprocess=spec(Chain, steps=(spec(Scale),)),
        model=spec(
            VAE,
            encoder=spec(MLP, features=()),
            decoder=spec(MLP, features=(), shape=(8, 8, 1)),
            latent_dim=10,
            likelihood=spec(Gaussian, scale=0.15),
            eval_samples=5000,
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-2, decay_steps=STEPS),
        ),
        steps=STEPS,
        steps_per_call=50,
        batch_size=128,
        log_every=1000,
        evals={
            'test_nll': spec(Likelihood, batch_size=100),
            'ais': spec(AIS, num_steps=2000, num_chains=4, batch_size=100),
        },
    )
