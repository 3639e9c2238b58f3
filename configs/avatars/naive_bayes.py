"""Naive Bayes on the five features of the avatars, by maximum likelihood, from 50 people.

    genjax train --config=configs/avatars/naive_bayes.py --workdir=runs/avatars_naive_bayes

Expected: 8.18 nats a row on the test split, exact; a two-sample test tells its samples from data
with accuracy .74.
"""

import optax

from genjax.config import spec
from genjax.data import Avatars
from genjax.data.avatars import NUM_VALUES
from genjax.evaluation import C2ST, Likelihood
from genjax.models import NaiveBayes
from genjax.training import Experiment


def get_config():
    return spec(
        Experiment,
        dataset=Avatars(form='table'),
        model=NaiveBayes(num_values=NUM_VALUES, smoothing=0.0),
        optimizer=spec(optax.identity),  # counting needs none
        steps=1,
        batch_size=50,  # one epoch: everybody is counted once
        evals={'test_nll': Likelihood(), 'c2st': C2ST()},
    )
