"""Tiny models of the zoo: VAEs, with continuous and discrete codes, and first stages."""

from genjax.models import (
    VAE,
    VQVAE,
    BetaTCVAE,
    DiscretisedLogistic,
    FactorVAE,
    Gaussian,
    GaussianMixture,
    InfoVAE,
    InverseAutoregressive,
    KLAutoencoder,
    LadderVAE,
    SemiSupervisedVAE,
    VampPrior,
    VQAutoencoder,
)
from genjax.networks import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    ConvLadder,
    ConvNet,
    DCGANDiscriminator,
    FiniteScalarQuantiser,
    GumbelQuantiser,
    Ladder,
    LookupFreeQuantiser,
    MapDecoder,
    MapEncoder,
    MaskedMLP,
    PatchDiscriminator,
    ResidualQuantiser,
    VectorQuantiser,
)
from tests.models.zoo.entry import PICTURE, Entry

_ENCODER = MLP((16,), activation='tanh')
_PICTURES = MLP((16,), shape=PICTURE)
_REALS = MLP((16,), shape=(5,))

VAES = (
    Entry('vae', VAE(_ENCODER, _PICTURES, 3, eval_samples=8), 'bits'),
    Entry(
        'vae-dropout-iwae',
        VAE(
            MLP((16,), dropout=0.3),
            MLP((16,), shape=PICTURE, dropout=0.3),
            3,
            bound='iwae',
            num_samples=4,
            eval_samples=8,
        ),
        'bits',
    ),
    Entry(
        'vae-conv-logistic',
        VAE(
            ConvEncoder((8, 8), dropout=0.1),
            ConvDecoder((9, 10, 2), (8, 8)),
            3,
            DiscretisedLogistic(),
            eval_samples=4,
        ),
        'levels',
    ),
    Entry('vae-gaussian', VAE(_ENCODER, _REALS, 2, Gaussian(), eval_samples=8), 'reals'),
    Entry('vae-context', VAE(_ENCODER, _PICTURES, 3, eval_samples=4, context_shape=(2, 2)), 'bits'),
    Entry(
        'vae-dreg-mixture',
        VAE(
            _ENCODER,
            _REALS,
            2,
            Gaussian(),
            bound='dreg',
            num_samples=4,
            num_groups=2,
            eval_samples=8,
            prior=GaussianMixture(3),
        ),
        'reals',
    ),
    Entry('vae-vamp', VAE(_ENCODER, _PICTURES, 3, eval_samples=8, prior=VampPrior(5)), 'bits'),
    Entry(
        'vae-info',
        InfoVAE(_ENCODER, _PICTURES, 3, beta=0.5, eval_samples=4, mmd=20.0),
        'bits',
        coupled=True,
    ),
    Entry(
        'vae-labels-free-bits',
        VAE(_ENCODER, _PICTURES, 3, eval_samples=4, free_bits=0.1, num_classes=3),
        'bits',
    ),
    Entry(
        'vae-semi-supervised',
        SemiSupervisedVAE(
            _ENCODER,
            _PICTURES,
            3,
            eval_samples=4,
            num_classes=3,
            classifier=MLP((16,), dropout=0.3),
            alpha=2.0,
        ),
        'bits',
    ),
    Entry(
        'vae-beta-tc',
        BetaTCVAE(_ENCODER, _PICTURES, 3, beta=4.0, eval_samples=8),
        'bits',
        coupled=True,
    ),
    Entry(
        'vae-factor',
        FactorVAE(
            _ENCODER,
            _PICTURES,
            3,
            eval_samples=8,
            discriminator=MLP((16,), shape=(), activation='leaky_relu'),
        ),
        'bits',
        coupled=True,
    ),
    Entry(
        'vq', VQVAE(_ENCODER, _PICTURES, 2, VectorQuantiser(4, 3), prior=MaskedMLP((8,))), 'bits'
    ),
    Entry(
        'vq-fsq',
        VQVAE(_ENCODER, _REALS, 2, FiniteScalarQuantiser((4, 3)), likelihood=Gaussian()),
        'reals',
    ),
    Entry(
        'vq-residual',
        VQVAE(_ENCODER, _PICTURES, 2, ResidualQuantiser(2, 4, 3), prior=MaskedMLP((8,))),
        'bits',
    ),
    Entry(
        'vq-gumbel',
        VQVAE(_ENCODER, _PICTURES, 2, GumbelQuantiser(4), prior=MaskedMLP((8,))),
        'bits',
    ),
    Entry(
        'vq-lookup-free',
        VQVAE(_ENCODER, _PICTURES, 2, LookupFreeQuantiser(3)),
        'bits',
        coupled=True,
    ),
    Entry(
        'ladder',
        LadderVAE(_ENCODER, Ladder((2, 3, 4), width=8), _PICTURES, free_bits=0.1, eval_samples=8),
        'bits',
    ),
    Entry(
        'ladder-maps',
        LadderVAE(
            ConvNet((6,)),
            ConvLadder((1, 2, 4), channels=2, width=6, bottleneck=4),
            MLP((16,), shape=(4, 4, 1)),
            free_bits=0.1,
            eval_samples=4,
        ),
        'bits',
    ),
    Entry(
        'vae-iaf',
        VAE(
            _ENCODER,
            _PICTURES,
            3,
            eval_samples=8,
            flow=InverseAutoregressive(MaskedMLP((8,)), steps=2),
        ),
        'bits',
    ),
    Entry(
        'autoencoder-kl',
        KLAutoencoder(
            encoder=MapEncoder((4, 8), 1, attention=True, dropout=0.1),
            decoder=MapDecoder(PICTURE, (8, 4), 1, attention=True, dropout=0.1),
            discriminator=DCGANDiscriminator(4, spectral_norm=True, dropout=0.2),
            adaptive=True,
            channels=2,
        ),
        'reals',
    ),
    Entry(
        'autoencoder-vq',
        VQAutoencoder(
            encoder=MapEncoder((4, 8), 1),
            decoder=MapDecoder((9, 8, 1), (8, 4), 1),
            discriminator=PatchDiscriminator((4, 8)),
            reconstruction='l2',
            quantiser=VectorQuantiser(4, 3),
        ),
        'reals',
    ),
)
