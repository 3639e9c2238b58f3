"""Tiny models of every family, for tests that hold for all of them."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models import (
    GAN,
    JEM,
    VAE,
    VQVAE,
    BetaTCVAE,
    CycleGAN,
    DiscretisedLogistic,
    FactorVAE,
    Gaussian,
    GaussianMixture,
    InfoVAE,
    InverseAutoregressive,
    KLAutoencoder,
    LadderVAE,
    SemiSupervisedVAE,
    StyleGAN,
    VampPrior,
    VQAutoencoder,
)
from genjax.models.autoregressive import (
    GPT,
    MADE,
    MDLM,
    FrameModel,
    GuidedSampling,
    LogisticMixture,
    MaskGIT,
    PixelCNN,
    TokenSampling,
)
from genjax.models.classifier import Classifier as ClassifierModel
from genjax.models.diffusion import (
    EDM,
    Ancestral,
    Autoguidance,
    Churn,
    Classifier,
    ClassifierFree,
    ConsistencyModel,
    ContinuousConsistency,
    CosineVP,
    DiffusionModel,
    DiffusionSampling,
    DiscreteDiffusion,
    DiscreteSampling,
    Epsilon,
    FewStepSampling,
    Karras,
    KarrasSchedule,
    LearnedVariance,
    LinearVP,
    LogNormal,
    MaskGITSampling,
    MeanFlow,
    Multistep,
    Shortcut,
    UniformNoise,
    V,
)
from genjax.models.flow import (
    ActNorm,
    Autoregressive,
    Chain,
    ContinuousFlow,
    Coupling,
    DequantisedFlow,
    Flow,
    FlowSampling,
    Inverse,
    InvertibleLinear,
    Repeat,
    Reverse,
    Spline,
    Split,
    Squeeze,
    Tokens,
)
from genjax.models.gan import Augment, Consistency
from genjax.models.tabular import JointTable, NaiveBayes, PixelNaiveBayes, UniformBox
from genjax.networks import (
    MLP,
    TCN,
    ConvDecoder,
    ConvEncoder,
    ConvLadder,
    ConvNet,
    DCGANDiscriminator,
    DCGANGenerator,
    DiT,
    FiniteScalarQuantiser,
    GatedPixelCNN,
    GumbelQuantiser,
    Ladder,
    LookupFreeQuantiser,
    MapDecoder,
    MapEncoder,
    MaskedAutoencoder,
    MaskedMLP,
    MaxoutMLP,
    PatchDiscriminator,
    PixelCNNPlusPlus,
    Recurrent,
    ResidualQuantiser,
    ResNetDiscriminator,
    ResNetGenerator,
    StyleGANDiscriminator,
    StyleGANGenerator,
    TimeMLP,
    TimeUncertainty,
    TokenTransformer,
    Transformer,
    Translator,
    VectorQuantiser,
    from_nnx,
)
from tests.models.nnx_networks import TimeNet


@dataclass(frozen=True)
class Entry:
    """A model with what the tests need to know of it.

    Attributes:
        name: of the test.
        model: the model.
        values: the kind of data: 'bits', 'levels' (0..255), 'tokens' (0..4), or 'reals' in [-1, 1].
        coupled: examples of a batch affect each other in training (batch normalisation, say).
        counted: fitted by counting, without parameters or gradients; nothing is known before.
        shape: of an example; None: the model's `event_shape`.
    """

    name: str
    model: object
    values: str
    coupled: bool = False
    counted: bool = False
    shape: tuple[int, ...] | None = None

    def batch(self, size: int = 8, seed: int = 0) -> dict[str, jnp.ndarray]:
        """A batch of random data in the model's space, with labels, contexts where the model takes
        them, and a mask of ones.
        """
        generator = np.random.default_rng(seed)
        shape = (size, *(self.shape or self.model.event_shape))
        x = {
            'bits': lambda: generator.integers(0, 2, shape),
            'levels': lambda: generator.integers(0, 256, shape),
            'reals': lambda: generator.uniform(-1, 1, shape),
            'tokens': lambda: generator.integers(0, 5, shape),
        }[self.values]()
        batch = {
            'x': jnp.asarray(x, jnp.int32 if self.values == 'tokens' else jnp.float32),
            'label': jnp.asarray(generator.integers(0, 3, size), jnp.int32),
            'mask': jnp.ones(size, bool),
        }
        if (context := getattr(self.model, 'context_shape', None)) is not None:
            batch['context'] = jnp.asarray(generator.normal(size=(size, *context)), jnp.float32)
        return batch


PICTURE = (8, 8, 1)
_MLP = MLP((16,), activation='tanh')
_CRITIC = MLP((16,), shape=(), activation='leaky_relu')

ZOO = (
    Entry('vae', VAE(_MLP, MLP((16,), shape=PICTURE), 3, eval_samples=8), 'bits'),
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
    Entry(
        'vae-gaussian', VAE(_MLP, MLP((16,), shape=(5,)), 2, Gaussian(), eval_samples=8), 'reals'
    ),
    Entry(
        'vae-context',
        VAE(_MLP, MLP((16,), shape=PICTURE), 3, eval_samples=4, context_shape=(2, 2)),
        'bits',
    ),
    Entry(
        'vae-dreg-mixture',
        VAE(
            _MLP,
            MLP((16,), shape=(5,)),
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
    Entry(
        'vae-vamp',
        VAE(_MLP, MLP((16,), shape=PICTURE), 3, eval_samples=8, prior=VampPrior(5)),
        'bits',
    ),
    Entry(
        'vae-info',
        InfoVAE(_MLP, MLP((16,), shape=PICTURE), 3, beta=0.5, eval_samples=4, mmd=20.0),
        'bits',
        coupled=True,
    ),
    Entry(
        'vae-labels-free-bits',
        VAE(_MLP, MLP((16,), shape=PICTURE), 3, eval_samples=4, free_bits=0.1, num_classes=3),
        'bits',
    ),
    Entry(
        'vae-semi-supervised',
        SemiSupervisedVAE(
            _MLP,
            MLP((16,), shape=PICTURE),
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
        BetaTCVAE(_MLP, MLP((16,), shape=PICTURE), 3, beta=4.0, eval_samples=8),
        'bits',
        coupled=True,
    ),
    Entry(
        'vae-factor',
        FactorVAE(_MLP, MLP((16,), shape=PICTURE), 3, eval_samples=8, discriminator=_CRITIC),
        'bits',
        coupled=True,
    ),
    Entry(
        'vq',
        VQVAE(_MLP, MLP((16,), shape=PICTURE), 2, VectorQuantiser(4, 3), prior=MaskedMLP((8,))),
        'bits',
    ),
    Entry(
        'vq-fsq',
        VQVAE(
            _MLP, MLP((16,), shape=(5,)), 2, FiniteScalarQuantiser((4, 3)), likelihood=Gaussian()
        ),
        'reals',
    ),
    Entry(
        'vq-residual',
        VQVAE(
            _MLP, MLP((16,), shape=PICTURE), 2, ResidualQuantiser(2, 4, 3), prior=MaskedMLP((8,))
        ),
        'bits',
    ),
    Entry(
        'vq-gumbel',
        VQVAE(_MLP, MLP((16,), shape=PICTURE), 2, GumbelQuantiser(4), prior=MaskedMLP((8,))),
        'bits',
    ),
    Entry(
        'vq-lookup-free',
        VQVAE(_MLP, MLP((16,), shape=PICTURE), 2, LookupFreeQuantiser(3)),
        'bits',
        coupled=True,
    ),
    Entry(
        'ladder',
        LadderVAE(
            _MLP,
            Ladder((2, 3, 4), width=8),
            MLP((16,), shape=PICTURE),
            free_bits=0.1,
            eval_samples=8,
        ),
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
            _MLP,
            MLP((16,), shape=PICTURE),
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
    Entry('gan', GAN(MLP((16,), shape=(2,)), _CRITIC, 3, r1=1.0), 'reals'),
    Entry(
        'gan-wasserstein',
        GAN(MLP((16,), shape=(2,)), _CRITIC, 3, 'wasserstein', gradient_penalty=10.0, num_critic=2),
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
            MLP((16,), shape=(2,)),
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
    Entry('gan-lecam', GAN(MLP((16,), shape=(2,)), _CRITIC, 3, 'hinge', lecam=0.3), 'reals'),
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
        'gan-k-plus-1',
        GAN(MLP((16,), shape=(2,)), _CRITIC, 3, num_classes=3, conditioning='k_plus_1'),
        'reals',
    ),
    Entry(
        'gan-feature-matching',
        GAN(
            MLP((16,), shape=(2,)),
            MLP((16,), shape=(), dropout=0.2),
            3,
            generator_loss='feature_matching',
            num_classes=3,
            conditioning='k_plus_1',
        ),
        'reals',
        coupled=True,
    ),
    Entry(
        'classifier',
        ClassifierModel(ConvEncoder((4, 8), dropout=0.1), 3, label_smoothing=0.1),
        'reals',
        shape=PICTURE,
    ),
    Entry('jem', JEM(_MLP, 3, (2,), sgld_steps=3, step_size=0.1, buffer=20), 'reals'),
    Entry('gpt', GPT(Transformer((6,), 5, 8, 2, 2, dropout=0.1)), 'tokens'),
    Entry(
        'gpt-rotary-scan',
        GPT(
            Transformer(
                (6,),
                5,
                8,
                2,
                2,
                positions='rotary',
                window=4,
                separator=2,
                tied=False,
                scan=True,
                dropout=0.1,
            )
        ),
        'tokens',
    ),
    Entry(
        'gpt-lstm',
        GPT(
            Recurrent((5,), 5, 8, dropout=0.1),
            sampling=TokenSampling(guidance=30.0),
            num_classes=3,
            condition_dropout=0.2,
        ),
        'tokens',
    ),
    Entry(
        'frames-made',
        FrameModel(
            Recurrent((5, 4), features=8, cell='gru'),
            MaskedAutoencoder((4,), (8,), dropout=0.1),
            GuidedSampling(guidance=30.0),
            num_classes=3,
            condition_dropout=0.2,
        ),
        'bits',
    ),
    Entry('frames-tcn', FrameModel(TCN((5, 4), features=8, num_layers=1, dropout=0.1)), 'bits'),
    Entry(
        'made',
        MADE(
            MaskedAutoencoder((9,), (16,), num_masks=3, dropout=0.1),
            GuidedSampling(guidance=2.0),
            num_classes=3,
            condition_dropout=0.2,
        ),
        'bits',
    ),
    Entry('pixelcnn', PixelCNN(GatedPixelCNN((4, 3, 1), 4, 1, dropout=0.1)), 'bits'),
    Entry(
        'pixelcnn++',
        PixelCNN(
            PixelCNNPlusPlus((2, 4, 2), 4, 1, 2, dropout=0.1),
            LogisticMixture(2),
            num_classes=3,
            condition_dropout=0.2,
        ),
        'levels',
    ),
    Entry(
        'mdlm',
        MDLM(
            Transformer((6,), 5, 8, 1, 2, causal=False),
            DiscreteSampling(steps=4, guidance=2.0),
            4,
            num_classes=3,
            condition_dropout=0.2,
        ),
        'tokens',
    ),
    Entry(
        'maskgit',
        MaskGIT(Transformer((6,), 5, 8, 1, 2, causal=False), MaskGITSampling(4)),
        'tokens',
    ),
    Entry(
        'discrete-masking',
        DiscreteDiffusion(
            Transformer((6,), 5, 8, 1, 2, causal=False, dropout=0.1),
            sampling=DiscreteSampling(steps=4),
            eval_samples=4,
        ),
        'tokens',
    ),
    Entry(
        'discrete-uniform',
        DiscreteDiffusion(
            TimeMLP((4, 2), 8, 1),
            UniformNoise('cosine'),
            10,
            sampling=DiscreteSampling(steps=4, guidance=30.0),
            eval_samples=4,
            num_classes=3,
            condition_dropout=0.2,
        ),
        'bits',
    ),
    Entry('joint-table', JointTable((2, 3, 2), smoothing=1.0), 'bits', counted=True),
    Entry('naive-bayes', NaiveBayes((2, 3, 2, 4), smoothing=0.5), 'bits', counted=True),
    Entry('pixel-naive-bayes', PixelNaiveBayes(PICTURE, smoothing=0.1), 'levels', counted=True),
    Entry('uniform-box', UniformBox((5,)), 'reals', counted=True),
    Entry(
        'flow-realnvp-context',
        Flow(
            Chain((ActNorm(), Repeat(Chain((Coupling(MLP((8,))), Reverse())), 3))),
            (2,),
            context_shape=(3,),
        ),
        'reals',
    ),
    Entry(
        'flow-maf-spline',
        Flow(
            Repeat(Chain((Autoregressive(MaskedMLP((8,)), Spline(4)), Reverse())), 2),
            (3,),
            num_classes=3,
        ),
        'reals',
    ),
    Entry(
        'flow-dequantised',
        DequantisedFlow(
            Chain((ActNorm(), Coupling(MLP((8,))))),
            (4,),
            num_classes=3,
            condition_dropout=0.2,
            sampling=FlowSampling(guidance=1.5),
            noise=Coupling(MLP((8,))),
        ),
        'levels',
    ),
    Entry(
        'flow-glow',
        Flow(
            Chain(
                (
                    Squeeze(),
                    Repeat(Chain((ActNorm(), InvertibleLinear(), Coupling(ConvNet((4,))))), 2),
                    Split(ActNorm()),
                    Inverse(Squeeze()),
                )
            ),
            PICTURE,
        ),
        'reals',
    ),
    Entry(
        'flow-transformer',
        Flow(
            Chain(
                (
                    Tokens(PICTURE, 4),
                    Autoregressive(TokenTransformer(8, num_layers=1, num_heads=2)),
                    Reverse(axis=1),
                    Inverse(Tokens(PICTURE, 4)),
                )
            ),
            PICTURE,
        ),
        'reals',
    ),
    Entry(
        'flow-continuous-context',
        ContinuousFlow(
            MLP((8,), activation='tanh'),
            (2,),
            divergence='hutchinson',
            tolerance=1e-3,
            context_shape=(1,),
        ),
        'reals',
    ),
    Entry(
        'flow-matching',
        DiffusionModel(
            TimeMLP((2,), 8, 1, dropout=0.1), sampling=DiffusionSampling(steps=4), tolerance=1e-3
        ),
        'reals',
    ),
    Entry(
        'flow-matching-nnx',
        DiffusionModel(
            from_nnx(TimeNet, shape=(2,), features=8, dropout=0.1),
            sampling=DiffusionSampling(steps=4),
            tolerance=1e-3,
        ),
        'reals',
    ),
    Entry(
        'flow-matching-optimal',
        DiffusionModel(
            TimeMLP((2,), 8, 1),
            coupling='optimal',
            sampling=DiffusionSampling(steps=4),
            likelihood='hutchinson',
            tolerance=1e-3,
        ),
        'reals',
        coupled=True,
    ),
    Entry(
        'diffusion-labels',
        DiffusionModel(
            TimeMLP((2,), 8, 1),
            CosineVP(),
            V(),
            sampling=DiffusionSampling(
                Ancestral(), steps=4, bounds=(-1, 1), guide=ClassifierFree(3.0, (0.1, 0.9))
            ),
            num_classes=3,
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-edm-autoguided-context',
        DiffusionModel(
            TimeMLP((2,), 8, 1),
            Karras(),
            EDM(),
            times=LogNormal(),
            uncertainty=TimeUncertainty(8),
            sampling=DiffusionSampling(
                Churn(), KarrasSchedule(), 4, guide=Autoguidance(TimeMLP((2,), 4, 1))
            ),
            context_shape=(3,),
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-classifier',
        DiffusionModel(
            TimeMLP((2,), 8, 1),
            LinearVP(),
            Epsilon(),
            variance=LearnedVariance(num_steps=20),
            sampling=DiffusionSampling(
                Multistep(2, True), steps=4, guide=Classifier(TimeMLP((3,), 4, 1))
            ),
            num_classes=3,
            likelihood='vlb',
            eval_samples=4,
        ),
        'reals',
    ),
    Entry(
        'diffusion-dit',
        DiffusionModel(
            DiT((4, 4, 1), 2, 16, 2, 2, num_classes=3, scan=True, remat='dots'),
            sampling=DiffusionSampling(steps=4),
            num_classes=3,
            tolerance=1e-3,
        ),
        'reals',
    ),
    Entry('mean-flow', MeanFlow(TimeMLP((2,), 8, 1, dropout=0.1)), 'reals'),
    Entry(
        'shortcut',
        Shortcut(TimeMLP((2,), 8, 1), sampling=FewStepSampling(2), num_classes=3),
        'reals',
    ),
    Entry(
        'consistency', ConsistencyModel(TimeMLP((2,), 8, 1), sampling=FewStepSampling(2)), 'reals'
    ),
    Entry(
        'consistency-continuous',
        ContinuousConsistency(
            TimeMLP((2,), 8, 1),
            DiffusionModel(TimeMLP((2,), 4, 1)),
            sampling=FewStepSampling(2),
            num_classes=3,
        ),
        'reals',
    ),
)

BY_NAME = {entry.name: entry for entry in ZOO}

REPRESENTATIVES = (
    'vae-dropout-iwae',  # one phase
    'vae-factor',  # two phases, coupled
    'vq',  # model state
    'gan-wasserstein',  # repeats
    'gan-dcgan-batch-norm',  # model state, coupled
    'gan-augmented',  # counters
    'gpt-rotary-scan',  # tokens, scan
    'naive-bayes',  # counts
    'flow-matching-optimal',  # coupled by the loss
)


def every(entries=ZOO, few=()):
    """Parametrises a test by `entry`; with `few`, those not named there are of the full tier. What
    is not representative is not tested on the newest Python. The ids end in @zoo: tests/conftest.py
    runs the tests of a model together.
    """

    def parameter(entry):
        marks = [pytest.mark.slow] if entry.name not in REPRESENTATIVES else []
        marks += [pytest.mark.full] if few and entry.name not in few else []
        return pytest.param(entry, id=f'{entry.name}@zoo', marks=marks)

    return pytest.mark.parametrize('entry', [parameter(entry) for entry in entries])
