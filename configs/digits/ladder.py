"""Ladder of four levels on the 8x8 digits, dynamically binarised.

    genjax train --config=configs/digits/ladder.py --workdir=runs/ladder
    genjax train --config=configs/digits/ladder.py:maps --workdir=runs/ladder_maps

`maps` has five levels of maps, of 1 to 8 pixels' side, as VDVAE; it is not measured yet.

Expected of the first: test IWAE-500 of about 21.7 nats an example, what the flat VAE of vae.py
reaches in three times as many steps. Eight minutes on two cores with other work.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binarise, Chain, Digits
from genjax.evaluation import Likelihood
from genjax.models import LadderVAE
from genjax.networks import MLP, ConvLadder, ConvNet, Ladder
from genjax.training import DecayWeights, Experiment


def get_config(levels: Literal['vectors', 'maps'] = 'vectors'):
    vectors = levels == 'vectors'
    steps = FieldReference(6000 if vectors else 1500)
    maps = ConvLadder((1, 2, 4, 4, 8), channels=2, width=32, bottleneck=16)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Binarise(),)),
        model=LadderVAE(
            encoder=MLP((128, 128), activation='silu') if vectors else ConvNet((32,)),
            ladder=Ladder(dims=(4, 6, 8, 10), width=128) if vectors else maps,
            decoder=MLP((128,), shape=(8, 8, 1), activation='silu'),
            eval_samples=500,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 2e-3, steps),
            weight_decay=1e-4,
            mask=DecayWeights(),
        ),
        steps=steps,
        steps_per_call=10 if vectors else 1,
        batch_size=128,
        ema=(0.998,),
        evals={
            'nll': Likelihood(
                split='validation', every=steps // (6 if vectors else 3), batch_size=200
            ),
            'test_nll': Likelihood(batch_size=300, num_draws=10),
        },
        best='nll',
        log_every=500,
        sample_every=steps,
    )
