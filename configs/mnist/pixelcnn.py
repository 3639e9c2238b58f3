"""Gated PixelCNN on dynamically binarised MNIST: 7 layers of 64 channels, a run for a GPU; and 5 of
16, for ten minutes on a CPU.

    genjax data prepare mnist
    genjax train --config=configs/mnist/pixelcnn.py --workdir=runs/mnist_pixelcnn
    genjax train --config=configs/mnist/pixelcnn.py:cpu --workdir=runs/mnist_pixelcnn_cpu

Expected of the small one: 90.9 nats, exact. Published for the large one: 81.45 nats; it is not run
yet.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import Likelihood
from genjax.models import Categorical, PixelCNN
from genjax.networks import GatedPixelCNN
from genjax.training import Experiment


def get_config(size: Literal['gpu', 'cpu'] = 'gpu'):
    features, num_layers, batch_size, steps = {
        'gpu': (64, 7, 100, FieldReference(60_000)),
        'cpu': (16, 5, 50, FieldReference(2000)),
    }[size]
    network = GatedPixelCNN((28, 28, 1), features=features, num_layers=num_layers)
    return spec(
        Experiment,
        dataset=TFDS('mnist'),
        preprocess=Chain((Binarise(),)),
        model=PixelCNN(network, likelihood=Categorical(levels=2)),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 3e-3, steps)),
        steps=steps,
        batch_size=batch_size,
        ema=(0.999,),
        clip_norm=1000.0,  # the loss is summed over the pixels
        evals={'nll': Likelihood(split='validation', every=steps // 4), 'test_nll': Likelihood()},
        best='nll',
        sample_every=steps // 4,
    )
