"""PacGAN on the ring of 8 Gaussians (radius 1, σ = .01): the recipe of Lin et al. (2018), shorter.

    genjax train --config=configs/gaussians/ring_pacgan.py:2 --workdir=runs/ring_pacgan

The argument after the colon is how many examples the discriminator judges at once; 1 is a GAN. The
networks, the optimizer and the batches are the paper's: a generator of two hidden layers of 400
units with batch normalisation, a discriminator of maxout units, Adam with β₁ = .8.

Expected of packs of 2: 8 of 8 modes on each of ten seeds and a reverse KL of .011 ± .002 nats, with
56 % of the samples within 4 σ of a centre (39 to 70; 10,000 samples), after 10,000 steps: 20 of the
paper's 400 epochs.
Published (400 epochs of 100,000, 10 runs): GAN 6.3 modes, reverse KL .45; PacGAN2 7.9, .07.
"""

import optax

from genjax.config import spec
from genjax.data import Gaussians
from genjax.evaluation import Modes
from genjax.models import GAN
from genjax.networks import MLP, MaxoutMLP
from genjax.training import Experiment


def get_config(pack: int = 2):
    """The run as a config; `pack` is the argument after the colon."""
    return spec(
        Experiment,
        dataset=Gaussians('ring'),
        model=GAN(
            generator=MLP((400, 400), shape=(2,), norm='batch'),
            discriminator=MaxoutMLP(features=(200, 200, 200), pieces=5),
            latent_dim=2,
            pack=pack,
        ),
        optimizer=spec(optax.adam, 1e-4, b1=0.8, b2=0.999),
        steps=10_000,
        steps_per_call=10,
        # Each example of the paper's batch of 100 is a pack.
        batch_size=100 * pack,
        log_every=500,
        checkpoint_every=0,
        evals={'modes': Modes(num_samples=10_000)},
        num_samples=1000,
    )
