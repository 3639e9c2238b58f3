"""`genjax sweep --config=tests/sweeps/config.py`: runs of a second."""

import optax

from genjax.config import spec
from genjax.networks import DCGANDiscriminator
from genjax.schedules import Scheduled
from genjax.sweeps import product, seeds
from tests.training import tiny


def get_config(family='vae'):
    if family == 'nan':
        beta = spec(Scheduled, schedule=spec(tiny.nan_at, step=99))
        return tiny.vae(**_PLAIN, checkpoint_every=2, model=tiny.vae_model(beta=beta))
    if family == 'judged':
        return tiny.vae(
            **_PLAIN,
            optimizer=spec(optax.sgd, learning_rate=1e-2),
            evals={
                'moved': spec(tiny.Moved, split='validation', every=2),
                'test_moved': spec(tiny.Moved),
            },
            best='moved',
        )
    if family == 'convolutions':
        config = tiny.gan(**_PLAIN)
        config.model.discriminator = spec(DCGANDiscriminator, features=4)
        return config
    if family == 'accumulated':
        return tiny.vae()
    if family == 'optimized':
        return tiny.optimized(accumulate=1)
    if family == 'gan':
        return tiny.gan(**_PLAIN, frozen=('generator/Dense_0/.*', 'discriminator/.*bias'))
    return tiny.vae(**_PLAIN)


_PLAIN = {'accumulate': 1, 'ema': (0.9,)}  # traced in half the time


def sweep(family='vae'):
    return product({'model.beta': [0.5, 2.0]}, seeds(2))
