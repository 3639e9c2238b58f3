"""A small transformer flow (TarFlow) on the 8x8 digits: 4 blocks over 16 patches of 2x2 pixels.

    genjax train --config=configs/digits/tarflow.py --workdir=runs/tarflow

Expected: not measured yet.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Dequantise, Digits, Logit
from genjax.evaluation import Likelihood
from genjax.models import Flow, flow
from genjax.networks import TokenTransformer
from genjax.training import DecayWeights, Experiment

SHAPE = (8, 8, 1)


def get_config():
    steps = FieldReference(4000)
    tokens = flow.Tokens(shape=SHAPE, factor=2)
    block = flow.Autoregressive(
        network=TokenTransformer(features=64, num_layers=2, num_heads=4), transform=flow.Affine()
    )
    # The next block reads the patches in the opposite order.
    layer = flow.Chain((block, flow.Reverse(axis=1)))
    stack = flow.Repeat(layer, num=4)
    back = flow.Inverse(flow.Tokens(shape=SHAPE, factor=2))
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Dequantise(), Logit(alpha=0.05))),
        model=Flow(bijection=flow.Chain((tokens, stack, back)), shape=SHAPE),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 1e-3, steps),
            weight_decay=1e-2,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=128,
        clip_norm=1.0,
        ema=(0.998,),
        evals={
            'nll': Likelihood(split='validation', every=500, batch_size=300),
            'test_nll': Likelihood(batch_size=300, num_draws=10),
        },
        best='nll',
        log_every=100,
        sample_every=1000,
    )
