"""Two small runs in a chain: an autoencoder, and a model of its codes."""

import optax

from genjax.config import spec
from genjax.data import Chain, Scale
from genjax.models import GPT, VAE, Gaussian, KLAutoencoder
from genjax.networks import MLP, MapDecoder, MapEncoder, PatchDiscriminator, Transformer
from genjax.training import EncodeLatents, Experiment
from tests.training import tiny

_COMMON = {'dataset': spec(tiny.Blots), 'batch_size': 16, 'log_every': 1, 'num_samples': 4}


def first_stage(kind=KLAutoencoder, **fields):
    """An autoencoder of the blots, with codes 4x4."""
    model = spec(
        kind,
        encoder=spec(MapEncoder, features=(4, 4), num_blocks=1),
        decoder=spec(MapDecoder, shape=tiny.SHAPE, features=(4, 4), num_blocks=1),
        discriminator=spec(PatchDiscriminator, features=(4,)),
    )
    return spec(
        Experiment,
        **{
            **_COMMON,
            'preprocess': spec(Chain, steps=(spec(Scale, low=-1.0),)),
            'model': model,
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            'steps': 4,
            'ema': (0.5,),
            **fields,
        },
    )


def second_stage(workdir, **fields):
    """A VAE of the codes 4x4x4 of the run in a folder."""
    mlp = {'features': (8,)}
    model = spec(
        VAE,
        encoder=spec(MLP, **mlp),
        decoder=spec(MLP, **mlp, shape=(4, 4, 4)),
        latent_dim=2,
        likelihood=spec(Gaussian),
        eval_samples=2,
    )
    return spec(
        Experiment,
        **{
            **_COMMON,
            'preprocess': spec(Chain, steps=(spec(EncodeLatents, workdir=str(workdir)),)),
            'model': model,
            'optimizer': spec(optax.adam, learning_rate=1e-2),
            'steps': 4,
            **fields,
        },
    )


def of_tokens():
    """A model of the 4x4 tokens of a `VQAutoencoder`."""
    network = spec(Transformer, shape=(16,), vocab_size=64, features=8, num_layers=1, num_heads=2)
    return spec(GPT, network=network)
