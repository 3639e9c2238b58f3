"""Tiny models of the zoo: autoregressive and masked models, and discrete diffusion."""

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
from genjax.models.diffusion import (
    DiscreteDiffusion,
    DiscreteSampling,
    MaskGITSampling,
    UniformNoise,
)
from genjax.networks import (
    TCN,
    GatedPixelCNN,
    MaskedAutoencoder,
    PixelCNNPlusPlus,
    Recurrent,
    TimeMLP,
    Transformer,
)
from tests.models.zoo.entry import Entry

_MASKED = Transformer((6,), 5, 8, 1, 2, causal=False)
_LABELS = {'num_classes': 3, 'condition_dropout': 0.2}

SEQUENCES = (
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
        GPT(Recurrent((5,), 5, 8, dropout=0.1), sampling=TokenSampling(guidance=30.0), **_LABELS),
        'tokens',
    ),
    Entry(
        'frames-made',
        FrameModel(
            Recurrent((5, 4), features=8, cell='gru'),
            MaskedAutoencoder((4,), (8,), dropout=0.1),
            GuidedSampling(guidance=30.0),
            **_LABELS,
        ),
        'bits',
    ),
    Entry('frames-tcn', FrameModel(TCN((5, 4), features=8, num_layers=1, dropout=0.1)), 'bits'),
    Entry(
        'made',
        MADE(
            MaskedAutoencoder((9,), (16,), num_masks=3, dropout=0.1),
            GuidedSampling(guidance=2.0),
            **_LABELS,
        ),
        'bits',
    ),
    Entry('pixelcnn', PixelCNN(GatedPixelCNN((4, 3, 1), 4, 1, dropout=0.1)), 'bits'),
    Entry(
        'pixelcnn++',
        PixelCNN(PixelCNNPlusPlus((2, 4, 2), 4, 1, 2, dropout=0.1), LogisticMixture(2), **_LABELS),
        'levels',
    ),
    Entry('mdlm', MDLM(_MASKED, DiscreteSampling(steps=4, guidance=2.0), 4, **_LABELS), 'tokens'),
    Entry('maskgit', MaskGIT(_MASKED, MaskGITSampling(4)), 'tokens'),
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
            **_LABELS,
        ),
        'bits',
    ),
)
