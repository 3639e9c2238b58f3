"""`genjax train --config=tests/training/config.py:gan`, for runs of a second."""

from genjax.config import spec
from genjax.evaluation import Likelihood
from genjax.schedules import Scheduled
from tests.training import tiny


def get_config(family='vae'):
    if family == 'nan':
        beta = spec(Scheduled, schedule=spec(tiny.nan_at))
        return tiny.vae(checkpoint_every=2, model=tiny.vae_model(beta=beta))
    if family == 'judged':
        likelihood = (spec(Likelihood),)
        return tiny.vae(validation=likelihood, validate_every=4, best='likelihood/nll')
    return {'vae': tiny.vae, 'gan': tiny.gan}[family]()
