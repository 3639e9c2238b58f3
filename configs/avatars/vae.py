"""VAE on rendered avatars, dynamically binarised: every channel of a pixel is a bit.

    genjax train --config=configs/avatars/vae.py --workdir=runs/avatars_vae

Expected: test IWAE-50 of 1,594 nats a picture; a two-sample test tells its samples from data with
accuracy .64, those of naive Bayes on the same bits (pixel_naive_bayes.py:bits) with .92.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars, Binarise, Chain
from genjax.evaluation import C2ST, Likelihood
from genjax.models import VAE, Bernoulli
from genjax.networks import MLP
from genjax.training import Experiment

STEPS = 3000


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Avatars, form='pictures'),
        preprocess=spec(Chain, steps=(spec(Binarise),)),
        model=spec(
            VAE,
            encoder=spec(MLP, features=(512, 256), activation='silu'),
            decoder=spec(MLP, features=(256, 512), shape=(32, 32, 3), activation='silu'),
            latent_dim=16,
            likelihood=spec(Bernoulli),
            eval_samples=50,
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS),
        ),
        steps=STEPS,
        batch_size=100,
        ema=(0.998,),
        log_every=200,
        sample_every=1000,
        evals={
            'test_nll': spec(Likelihood),
            'c2st': spec(C2ST),
        },
    )
