"""β-VAE, β-TC-VAE and FactorVAE on worlds whose factors are known, ten seeds each.

genjax sweep --config=experiments/disentanglement/sweep.py:jars_beta --launcher=vectorized \
  --workdir=DIR/jars_beta
"""

import optax

from experiments.disentanglement.supervised import Supervised
from genjax.config import FieldReference, spec
from genjax.data import Avatars, Binarise, Chain, Jars, Scale
from genjax.evaluation import Disentanglement, RateDistortion
from genjax.models import VAE, Bernoulli, BetaTCVAE, FactorVAE, Gaussian
from genjax.networks import MLP
from genjax.sweeps import seeds
from genjax.training import Experiment

WORLDS, METHODS = ('jars', 'avatars'), ('beta', 'beta_tc', 'factor')


def get_config(run: str = 'jars_beta'):
    """One method on one world: `<world>_<method>`."""
    world, method = run.split('_', 1)
    steps = FieldReference(1500)
    adam = spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps))
    discriminator = spec(optax.adam, 1e-4, b1=0.5)
    return spec(
        Experiment,
        dataset={'jars': spec(Jars), 'avatars': spec(Avatars, form='pictures')}[world],
        preprocess=spec(Chain, (spec({'jars': Scale, 'avatars': Binarise}[world]),)),
        model=_model(world, method),
        optimizer={'vae': adam, 'discriminator': discriminator} if method == 'factor' else adam,
        steps=steps,
        steps_per_call=10,
        batch_size=64,
        log_every=500,
        checkpoint_every=0,
        evals={
            'codes': spec(Disentanglement),
            'supervised': spec(Supervised),
            'rate_distortion': spec(RateDistortion),
        },
    )


def sweep(run: str = 'jars_beta'):
    """Ten seeds."""
    del run
    return seeds(10)


def _model(world: str, method: str):
    """The model of a method, with a strength in the range of its paper, not tuned here."""
    shape, width, likelihood, latent_dim = {
        'jars': ((32, 32, 1), 128, spec(Gaussian, scale=0.5), 4),
        'avatars': ((32, 32, 3), 64, spec(Bernoulli), 10),
    }[world]
    networks = {
        'encoder': spec(MLP, (width, 64), activation='silu'),
        'decoder': spec(MLP, (64, width), shape=shape, activation='silu'),
        'latent_dim': latent_dim,
        'likelihood': likelihood,
    }
    if method == 'beta':
        return spec(VAE, beta=4.0, **networks)
    if method == 'beta_tc':
        return spec(BetaTCVAE, beta=6.0, **networks)
    discriminator = spec(MLP, (128, 128), shape=(), activation='leaky_relu')
    return spec(FactorVAE, gamma=10.0, discriminator=discriminator, **networks)
