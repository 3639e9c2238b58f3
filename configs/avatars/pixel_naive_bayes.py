"""Naive Bayes on the pixels of rendered avatars: every channel of every pixel on its own.

    genjax train --config=configs/avatars/pixel_naive_bayes.py --workdir=runs/avatars_pixel

Expected: 4,376 nats a picture on the test split, exact; a two-sample test tells its samples from
data with accuracy .985.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars
from genjax.evaluation import C2ST, Likelihood
from genjax.models import PixelNaiveBayes
from genjax.training import Experiment


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Avatars, form='pictures'),
        model=spec(PixelNaiveBayes, shape=(32, 32, 3), smoothing=0.01),
        optimizer=spec(optax.identity),  # counting needs none
        steps=40,
        batch_size=200,  # one epoch: every picture is counted once
        test=(spec(Likelihood), spec(C2ST)),
    )
