"""VAE with a linear decoder on the 8x8 digits: log p(x) is known, so that its bounds can be judged.

    genjax train --config=configs/digits/linear.py --workdir=runs/linear
    python -m experiments.linear_gaussian.exact runs/linear

Expected: the second command shows that IWAE is .004 nats and AIS .05 nats from the exact test
likelihood. (Probabilistic PCA: Tipping & Bishop, 1999.)
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import AIS, Likelihood
from genjax.models import VAE, Gaussian
from genjax.networks import MLP
from genjax.training import Experiment


def get_config():
    steps = FieldReference(6000)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Scale(),)),
        model=VAE(
            encoder=MLP(()),
            decoder=MLP((), shape=(8, 8, 1)),
            latent_dim=10,
            likelihood=Gaussian(scale=0.15),
            eval_samples=5000,
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-2, steps)),
        steps=steps,
        steps_per_call=50,
        batch_size=128,
        log_every=1000,
        evals={
            'test_nll': Likelihood(batch_size=100),
            'ais': AIS(num_steps=2000, num_chains=4, batch_size=100),
        },
    )
