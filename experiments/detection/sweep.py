"""Small models of six families on binarised MNIST, three seeds each.

genjax sweep --config=experiments/detection/sweep.py:vae --launcher=vectorized --workdir=DIR/vae
"""

import dataclasses

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain, Dequantise, Logit, Scale
from genjax.models import GAN, MADE, VAE, DiffusionModel, Flow, diffusion, flow
from genjax.networks import MLP, MaskedAutoencoder, TimeMLP
from genjax.sweeps import seeds
from genjax.training import Experiment

SHAPE = (28, 28, 1)
STEPS = {'vae': 3000, 'gan': 3000, 'made': 2500, 'flow': 2500, 'diffusion': 2000, 'matching': 2000}
FAMILIES = tuple(STEPS)


def get_config(family: str = 'vae'):
    """A model of one family; samples of all are images of two values."""
    steps = FieldReference(STEPS[family])
    adam = spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps))
    player = spec(optax.adam, spec(optax.linear_schedule, 5e-4, 5e-5, steps), b1=0.0, b2=0.99)
    preprocess = {
        'vae': (Binarise(),),
        'made': (Binarise(),),
        'flow': (Dequantise(2), Logit()),
    }.get(family, (Scale(low=-1.0, high=1.0, levels=2),))
    return spec(
        Experiment,
        dataset=TFDS(
            'binarized_mnist', levels=256 if family == 'flow' else None
        ),  # 256: 0 and 1 stay
        preprocess=Chain(preprocess),
        model=_model(family),
        optimizer={'discriminator': player, 'generator': player} if family == 'gan' else adam,
        steps=steps,
        steps_per_call=10,
        batch_size=64,
        clip_norm=10.0 if family == 'flow' else None,
        ema=(0.998,),
        log_every=500,
        checkpoint_every=0,
    )


def sweep(family: str = 'vae'):
    """Three seeds."""
    del family
    return seeds(3)


def _model(family: str):
    if family == 'vae':
        return VAE(
            encoder=MLP((256, 256), activation='silu'),
            decoder=MLP((256, 256), shape=SHAPE, activation='silu'),
            latent_dim=32,
        )
    if family == 'gan':
        return GAN(
            generator=MLP((256, 256, 256), shape=SHAPE, activation='silu'),
            discriminator=MLP((256, 256), shape=(), activation='leaky_relu'),
            latent_dim=32,
            r1=1.0,
        )
    if family == 'made':
        return MADE(MaskedAutoencoder(SHAPE, features=(400,), direct=False))
    if family == 'flow':
        coupling = flow.Coupling(network=MLP((256, 256)), transform=flow.Affine(bound=2.0))
        layers = flow.Repeat(flow.Chain((flow.ActNorm(), coupling, flow.Permute())), num=6)
        flatten = flow.Flatten(shape=SHAPE)
        back = flow.Inverse(flow.Flatten(shape=SHAPE))
        return Flow(bijection=flow.Chain((flatten, layers, back)), shape=SHAPE)
    network = TimeMLP(SHAPE, features=256, num_layers=3)
    options = diffusion.DiffusionSampling(steps=50, bounds=(-1.0, 1.0))
    # Images are simpler than noise for a small network of dense layers.
    target = {'parameterisation': diffusion.X0(), 'weighting': diffusion.TruncatedSNR(high=20.0)}
    if family == 'diffusion':
        ancestral = dataclasses.replace(options, sampler=diffusion.Ancestral())
        return DiffusionModel(network, path=diffusion.CosineVP(), sampling=ancestral, **target)
    path, times = diffusion.Rectified(t_min=1e-3), diffusion.LogitNormal()
    return DiffusionModel(network, path=path, times=times, sampling=options, **target)
