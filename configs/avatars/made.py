"""MADE on rendered avatars, dynamically binarised: every channel of a pixel is a bit.

    genjax train --config=configs/avatars/made.py --workdir=runs/avatars_made

Expected: 1,614 nats a picture on the test split, exact; a two-sample test of 500 tells its samples
from data with accuracy .59, those of naive Bayes with .71 (pixel_naive_bayes.py:bits; with 2,000
.92). Five minutes on one CPU core, most of them for the samples: a picture takes 3,072 passes.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Avatars, Binarise, Chain
from genjax.evaluation import C2ST, Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import Experiment


def get_config():
    steps = FieldReference(2000)
    return spec(
        Experiment,
        dataset=Avatars(form='pictures'),
        preprocess=Chain((Binarise(),)),
        model=MADE(MaskedAutoencoder((32, 32, 3), features=(400,), direct=False)),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        batch_size=100,
        ema=(0.99,),
        num_samples=16,
        evals={'test_nll': Likelihood(), 'c2st': C2ST(num_samples=500)},
    )
