"""VAE on rendered avatars.

    genjax train --config=configs/avatars/vae.py --workdir=runs/avatars_vae

Expected: not measured yet.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars
from genjax.evaluation import C2ST, Likelihood
from genjax.models import VAE, DiscretisedLogistic
from genjax.networks import MLP
from genjax.training import Experiment

STEPS = 4000


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Avatars, form='pictures'),
        model=spec(
            VAE,
            encoder=spec(MLP, features=(512, 256), activation='silu'),
            decoder=spec(MLP, features=(256, 512), shape=(32, 32, 3), activation='silu'),
            latent_dim=16,
            likelihood=spec(DiscretisedLogistic),
            eval_samples=50,
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS),
        ),
        clip_norm=1000.0,
        steps=STEPS,
        batch_size=100,
        ema=(0.998,),
        log_every=200,
        sample_every=1000,
        test=(spec(Likelihood), spec(C2ST)),
    )
