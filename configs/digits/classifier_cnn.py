"""Convolutional network that classifies the 8x8 digits.

    genjax train --config=configs/digits/classifier_cnn.py --workdir=runs/classifier_cnn

Expected: test accuracy of .990 (300 images) after 40 seconds on two cores.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import Accuracy
from genjax.models import Classifier
from genjax.networks import ConvEncoder
from genjax.training import DecayWeights, Experiment


def get_config():
    steps = FieldReference(1000)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Scale(),)),
        model=Classifier(ConvEncoder((32, 64), dropout=0.3), num_classes=10),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 2e-3, steps),
            weight_decay=1e-2,
            mask=DecayWeights(),
        ),
        steps=steps,
        steps_per_call=1,
        batch_size=128,
        ema=(0.99,),
        evals={
            'accuracy': Accuracy(split='validation', every=250),
            'test_accuracy': Accuracy(),
        },
        best='accuracy/nll',
        log_every=250,
    )
