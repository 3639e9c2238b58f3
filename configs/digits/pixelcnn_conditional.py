"""Class-conditional Gated PixelCNN on the 8x8 digits, dynamically binarised, with guidance.

    genjax train --config=configs/digits/pixelcnn_conditional.py --workdir=runs/pixelcnn_conditional
    genjax sample --workdir=runs/pixelcnn_conditional --label=3 --out=3.png --sampling.guidance=2

Expected: a classifier of real digits (.993 on the test split) reads the class asked for in .844 of
1,000 samples; with --sampling.guidance=1.5, 2 and 3 in .958, .985 and .995. A test digit costs 19.7
nats given its class, exact, and 23.0 by the p(x) learned beside. Two minutes.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binarise, Chain, Digits
from genjax.evaluation import LabelAccuracy, Likelihood
from genjax.models import Categorical, PixelCNN
from genjax.networks import GatedPixelCNN
from genjax.training import DecayWeights, Experiment


def get_config():
    steps = FieldReference(2000)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Binarise(),)),
        model=PixelCNN(
            GatedPixelCNN((8, 8, 1), features=24, num_layers=4, dropout=0.2),
            likelihood=Categorical(levels=2),
            num_classes=10,
            condition_dropout=0.1,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 3e-3, steps),
            weight_decay=1e-2,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=64,
        ema=(0.995,),
        evals={
            'nll': Likelihood(split='validation', every=500, batch_size=300, given_label=True),
            'test_nll': Likelihood(batch_size=300, num_draws=20, given_label=True),
            'without': Likelihood(batch_size=300, num_draws=20),
            'labels': LabelAccuracy(),
        },
        best='nll',
    )
