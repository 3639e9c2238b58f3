"""Tiny models of the zoo: flows."""

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
from genjax.networks import MLP, ConvNet, MaskedMLP, TokenTransformer
from tests.models.zoo.entry import PICTURE, Entry

FLOWS = (
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
)
