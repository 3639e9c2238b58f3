"""VAEs on the 8x8 digits, over the weight of the rate and the size of the code.

genjax sweep --config=experiments/beta_and_capacity/sweep.py --launcher=vectorized --workdir=DIR
"""

import optax

from genjax.config import spec
from genjax.data import Binarise, Chain, Digits
from genjax.evaluation import Likelihood, RateDistortion
from genjax.models import VAE, Bernoulli
from genjax.networks import MLP
from genjax.sweeps import product, seeds
from genjax.training import Experiment

STEPS = 6000


def get_config():
    """The run that the sweep changes."""
    return spec(
        Experiment,
        dataset=spec(Digits),
        preprocess=spec(Chain, steps=(spec(Binarise),)),
        model=spec(
            VAE,
            encoder=spec(MLP, features=(128, 128), activation='silu'),
            decoder=spec(MLP, features=(128, 128), shape=(8, 8, 1), activation='silu'),
            latent_dim=16,
            likelihood=spec(Bernoulli),
            eval_samples=200,
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=2e-3, decay_steps=STEPS),
            weight_decay=1e-4,
        ),
        steps=STEPS,
        steps_per_call=10,
        batch_size=128,
        ema=(0.998,),
        log_every=500,
        checkpoint_every=2000,
        evals={
            'rate_distortion': spec(RateDistortion, num_draws=20),
            'test_nll': spec(Likelihood, batch_size=300),
        },
    )


def sweep():
    """Every weight with every size, four times."""
    return product(
        {'model.latent_dim': [2, 4, 8, 16], 'model.beta': [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]},
        seeds(4),
    )
