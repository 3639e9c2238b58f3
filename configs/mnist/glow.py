"""Glow on MNIST with 8 bits, two scales: of 16 steps of 128 channels, a run for a GPU; and of 4
steps of 32, for five minutes on a CPU.

    genjax data prepare mnist
    genjax train --config=configs/mnist/glow.py --workdir=runs/glow
    genjax train --config=configs/mnist/glow.py:cpu --workdir=runs/glow_cpu

Published: 1.05 bits a dimension for Glow, 1.06 for RealNVP, with uniform dequantisation. Expected
of the small one: 3.67, as its 200 steps are only a beginning; the large one is not run yet.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Chain, Dequantise, Logit
from genjax.evaluation import Likelihood
from genjax.models import Flow, flow
from genjax.networks import ConvNet
from genjax.training import Experiment


def _steps(num, features):
    """Steps of flow: normalise, mix the channels, couple."""
    coupling = flow.Coupling(
        network=ConvNet((features, features)), transform=flow.Affine(bound=2.0)
    )
    layers = (flow.ActNorm(), flow.InvertibleLinear(), coupling)
    return flow.Repeat(flow.Chain(layers), num=num)


def _squeezed(*layers):
    """Layers on a picture with half the sides and four times the channels."""
    squeeze = flow.Squeeze()
    back = flow.Inverse(flow.Squeeze())
    return flow.Chain((squeeze, *layers, back))


def get_config(size: Literal['gpu', 'cpu'] = 'gpu'):
    num, features, batch_size, steps, learning_rate = {
        'gpu': (16, 128, 256, FieldReference(100_000), 1e-3),
        'cpu': (4, 32, 64, FieldReference(200), 5e-3),
    }[size]
    coarse = flow.Split(_squeezed(_steps(num, features)))
    return spec(
        Experiment,
        dataset=TFDS('mnist'),
        preprocess=Chain((Dequantise(), Logit(alpha=0.05))),
        model=Flow(bijection=_squeezed(_steps(num, features), coarse), shape=(28, 28, 1)),
        optimizer=spec(
            optax.adamax,
            spec(optax.warmup_cosine_decay_schedule, 0.0, learning_rate, steps // 20, steps),
        ),
        steps=steps,
        batch_size=batch_size,
        clip_norm=10.0,
        ema=(0.999,),
        evals={'nll': Likelihood(split='validation', every=steps // 4), 'test_nll': Likelihood()},
        best='nll',
        sample_every=steps // 4,
    )
