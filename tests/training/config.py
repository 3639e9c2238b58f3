"""`genjax train --config=tests/training/config.py:gan`, for runs of a second."""

import optax

from genjax.config import spec
from genjax.evaluation import MMD, Likelihood
from genjax.schedules import Scheduled
from genjax.training import MeshShape
from tests.training import tiny


def get_config(family='vae'):
    if family == 'nan':
        beta = spec(Scheduled, schedule=spec(tiny.nan_at))
        return tiny.vae(checkpoint_every=2, model=tiny.vae_model(beta=beta))
    if family == 'spoilt':
        rate = spec(tiny.nan_at, step=11, otherwise=1e-2)
        optimizer = spec(optax.adam, learning_rate=rate)
        return tiny.vae(checkpoint_every=2, optimizer=optimizer)
    if family == 'judged':
        return tiny.vae(evals={'nll': spec(Likelihood, split='validation', every=4)}, best='nll')
    if family == 'elastic':
        # Plain descent: Adam turns rounding of vanishing gradients into whole steps.
        return tiny.vae(
            dataset=spec(tiny.Watched),
            optimizer=spec(optax.sgd, learning_rate=1e-2, momentum=0.9),
            mesh=spec(MeshShape, rules=(('decoder/Dense_0/kernel', (None, 'tensor')),)),
            accumulate=1,  # compiles in half of the time
            ema=(0.9,),
            checkpoint_every=1,
            # Batches that do not divide over the devices, and a last one that is not full.
            evals={
                'nll': spec(Likelihood, batch_size=11),
                'mmd': spec(MMD, batch_size=11),
            },
        )
    if family == 'eventful':
        likelihood = spec(Likelihood, split='validation', every=8, batch_size=8)
        return tiny.vae(**_EVENTS, evals={'nll': likelihood}, best='nll')
    if family == 'eventful_gan':
        mmd = spec(MMD, split='validation', every=8, num_samples=24, batch_size=8)
        return tiny.gan(**_EVENTS, evals={'mmd': mmd}, best='mmd/mmd2')
    return {'vae': tiny.vae, 'gan': tiny.gan, 'optimized': tiny.optimized}[family]()


_EVENTS = {
    'steps': 20,
    'sample_every': 5,
    'checkpoint_every': 3,
    'num_samples': 300,
}
