"""A small transformer flow (TarFlow) on the 8x8 digits: 4 blocks over 16 patches of 2x2 pixels.

    genjax train --config=configs/digits/tarflow.py --workdir=runs/tarflow

Expected: not measured yet.
"""

import optax

from genjax.config import spec
from genjax.data import Chain, Dequantise, Digits, Logit
from genjax.evaluation import Likelihood
from genjax.models import Flow, flow
from genjax.networks import TokenTransformer
from genjax.training import Experiment

STEPS = 4000
SHAPE = (8, 8, 1)


def get_config():
    """The run as a config."""
    tokens = spec(flow.Tokens, shape=SHAPE, factor=2)
    block = spec(
        flow.Autoregressive,
        network=spec(TokenTransformer, features=64, num_layers=2, num_heads=4),
        transform=spec(flow.Affine),
    )
    # The next block reads the patches in the opposite order.
    layer = spec(flow.Chain, layers=(block, spec(flow.Reverse, axis=1)))
    stack = spec(flow.Repeat, layer=layer, num=4)
    back = spec(flow.Inverse, bijection=spec(flow.Tokens, shape=SHAPE, factor=2))
    return spec(
        Experiment,
        dataset=spec(Digits),
        preprocess=spec(Chain, steps=(spec(Dequantise), spec(Logit, alpha=0.05))),
        model=spec(Flow, bijection=spec(flow.Chain, layers=(tokens, stack, back)), shape=SHAPE),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS),
            weight_decay=1e-2,
        ),
        steps=STEPS,
        batch_size=128,
        clip_norm=1.0,
        ema=(0.998,),
        evals={
            'nll': spec(Likelihood, split='validation', every=500, batch_size=200),
            'test_nll': spec(Likelihood, batch_size=300, num_draws=10),
        },
        best='nll',
        log_every=100,
        sample_every=1000,
    )
