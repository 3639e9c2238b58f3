"""`genjax train --config=tests/mistakes/config.py:Model` and others, with parts that are wrong."""

import optax

from genjax.config import spec
from genjax.data import Binarise, Chain, Digits, Scale, Text
from genjax.models import GAN, GPT, VAE, Classifier, DiffusionModel
from genjax.networks import MLP, DCGANDiscriminator, DCGANGenerator, TimeMLP, Transformer
from genjax.training import Experiment
from tests.mistakes import parts
from tests.training import tiny


def get_config(case='own'):
    return {
        'own': own,
        'vae': vae,
        'gan': gan,
        'diffusion': diffusion,
        'gpt': gpt,
        'classifier': classifier,
    }[case]()


def own():
    return _experiment(spec(parts.Data), spec(parts.Model), spec(Chain, steps=()))


def vae():
    model = spec(
        VAE,
        encoder=spec(MLP, features=(4,)),
        decoder=spec(MLP, features=(4,), shape=tiny.SHAPE),
        latent_dim=2,
    )
    return _experiment(spec(tiny.Blots), model, spec(Chain, steps=(spec(Binarise),)))


def gan():
    model = spec(
        GAN,
        generator=spec(DCGANGenerator, shape=tiny.SHAPE, features=4),
        discriminator=spec(DCGANDiscriminator, features=4),
        latent_dim=2,
    )
    return _experiment(spec(tiny.Blots), model, _scaled())


def diffusion():
    model = spec(DiffusionModel, network=spec(TimeMLP, shape=(8, 8, 1), features=4, num_layers=1))
    return _experiment(spec(Digits), model, _scaled())


def gpt():
    network = spec(Transformer, shape=(6,), vocab_size=256, features=4, num_layers=1, num_heads=2)
    dataset = spec(Text, path=__file__, tokenizer='bytes', context=6)
    return _experiment(dataset, spec(GPT, network=network), spec(Chain, steps=()))


def classifier():
    model = spec(Classifier, network=spec(MLP, features=(4,)), num_classes=4)
    return _experiment(spec(tiny.Blots), model, _scaled())


def _scaled():
    return spec(Chain, steps=(spec(Scale, low=-1.0),))


def _experiment(dataset, model, preprocess):
    return spec(
        Experiment,
        dataset=dataset,
        model=model,
        preprocess=preprocess,
        optimizer=spec(optax.adam, learning_rate=1e-3),
        steps=1,
        batch_size=8,
        checkpoint_every=0,
        num_samples=2,
    )
