"""VAE on rendered avatars, dynamically binarised: every channel of a pixel is a bit.

    genjax train --config=configs/avatars/vae.py --workdir=runs/avatars_vae

Expected: test IWAE-50 of 1,594 nats a picture; a two-sample test tells its samples from data with
accuracy .64, those of naive Bayes on the same bits (pixel_naive_bayes.py:bits) with .92.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Avatars, Binarise, Chain
from genjax.evaluation import C2ST, Likelihood
from genjax.models import VAE, Bernoulli
from genjax.networks import MLP
from genjax.training import Experiment


def get_config():
    steps = FieldReference(3000)
    return spec(
        Experiment,
        dataset=Avatars(form='pictures'),
        preprocess=Chain((Binarise(),)),
        model=VAE(
            encoder=MLP((512, 256), activation='silu'),
            decoder=MLP((256, 512), shape=(32, 32, 3), activation='silu'),
            latent_dim=16,
            likelihood=Bernoulli(),
            eval_samples=50,
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        batch_size=100,
        ema=(0.998,),
        log_every=200,
        sample_every=1000,
        evals={'test_nll': Likelihood(), 'c2st': C2ST()},
    )
