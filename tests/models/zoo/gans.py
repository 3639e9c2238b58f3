"""Tiny models of the zoo: GANs."""

from genjax.models import GAN, CycleGAN, StyleGAN
from genjax.models.gan import Augment, Consistency
from genjax.networks import (
    MLP,
    DCGANDiscriminator,
    DCGANGenerator,
    MaxoutMLP,
    PatchDiscriminator,
    ResNetDiscriminator,
    ResNetGenerator,
    StyleGANDiscriminator,
    StyleGANGenerator,
    Translator,
)
from tests.models.zoo.entry import PICTURE, Entry

_GENERATOR = MLP((16,), shape=(2,))
_CRITIC = MLP((16,), shape=(), activation='leaky_relu')

GANS = (
    Entry('gan', GAN(_GENERATOR, _CRITIC, 3, r1=1.0), 'reals'),
    Entry(
        'gan-wasserstein',
        GAN(_GENERATOR, _CRITIC, 3, 'wasserstein', gradient_penalty=10.0, num_critic=2),
        'reals',
    ),
    Entry(
        'gan-dcgan-labels',
        GAN(
            DCGANGenerator(PICTURE, 4),
            DCGANDiscriminator(4, spectral_norm=True, dropout=0.2),
            3,
            'hinge',
            num_classes=3,
        ),
        'reals',
    ),
    Entry(
        'gan-dcgan-batch-norm',
        GAN(DCGANGenerator(PICTURE, 4, norm='batch'), DCGANDiscriminator(4), 3),
        'reals',
        coupled=True,
    ),
    Entry(
        'gan-sagan',
        GAN(
            ResNetGenerator(PICTURE, 4, norm='group', attention=8, spectral_norm=True),
            ResNetDiscriminator(4, attention=4),
            3,
            'hinge',
            num_classes=3,
        ),
        'reals',
    ),
    Entry(
        'stylegan',
        StyleGAN(
            StyleGANGenerator(PICTURE, 4, 4, latent_features=4, mapping_layers=1),
            StyleGANDiscriminator(4, 4, stddev_group=0),
            3,
            num_classes=3,
            r1_every=2,
            path_length_every=2,
        ),
        'reals',
    ),
    Entry(
        'cyclegan',
        CycleGAN(
            Translator(PICTURE, 4, 1, 1, 3),
            Translator(PICTURE, 4, 1, 1, 3),
            PatchDiscriminator((4, 8)),
            PatchDiscriminator((4, 8)),
            identity=1.0,
        ),
        'reals',
    ),
    Entry(
        'cyclegan-pool',
        CycleGAN(*[MLP((4,), shape=(2,))] * 2, *[MLP((4,), shape=())] * 2, pool_size=3),
        'reals',
        coupled=True,
    ),
    Entry(
        'gan-relativistic-context',
        GAN(
            _GENERATOR,
            _CRITIC,
            3,
            'relativistic',
            r1=1.0,
            r2=1.0,
            context_shape=(),
            orthogonal=1e-2,
            consistency=Consistency(0.0, 0.0, latent=5.0, spread=0.5),
        ),
        'reals',
    ),
    Entry('gan-lecam', GAN(_GENERATOR, _CRITIC, 3, 'hinge', lecam=0.3, reuse=True), 'reals'),
    Entry(
        'gan-packed',
        GAN(MLP((16,), shape=(2,), norm='batch'), MaxoutMLP((8,)), 3, 'least_squares', pack=2),
        'reals',
        coupled=True,
    ),
    Entry(
        'gan-augmented',
        GAN(
            MLP((16,), shape=(8, 8, 3)),
            _CRITIC,
            3,
            r1=1.0,
            augment=Augment(
                ('flip', 'rotate90', 'scale', 'translate', 'saturation', 'cutout'),
                probability=0.5,
                target=0.6,
                images_to_full=1000,
            ),
        ),
        'reals',
    ),
    Entry(
        'gan-auxiliary',
        GAN(
            DCGANGenerator(PICTURE, 4),
            DCGANDiscriminator(4),
            3,
            num_classes=3,
            conditioning='auxiliary',
        ),
        'reals',
    ),
    Entry(
        'gan-k-plus-1', GAN(_GENERATOR, _CRITIC, 3, num_classes=3, conditioning='k_plus_1'), 'reals'
    ),
    Entry(
        'gan-feature-matching',
        GAN(
            _GENERATOR,
            MLP((16,), shape=(), dropout=0.2),
            3,
            generator_loss='feature_matching',
            num_classes=3,
            conditioning='k_plus_1',
        ),
        'reals',
        coupled=True,
    ),
)
