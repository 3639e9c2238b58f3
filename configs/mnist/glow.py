"""Glow on MNIST with 8 bits: two scales of 16 steps. A run for a GPU.

    genjax train --config=configs/mnist/glow.py --workdir=runs/glow

Not run yet. Published: 1.05 bits a dimension for Glow, 1.06 for RealNVP, with uniform
dequantisation.
"""

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Dequantise, Logit
from genjax.evaluation import Likelihood
from genjax.models import Flow, flow
from genjax.networks import ConvNet
from genjax.training import Experiment

STEPS = 100_000


def _steps(num):
    """Steps of flow: normalise, mix the channels, couple."""
    coupling = spec(
        flow.Coupling,
        network=spec(ConvNet, features=(128, 128)),
        transform=spec(flow.Affine, bound=2.0),
    )
    layers = (spec(flow.ActNorm), spec(flow.InvertibleLinear), coupling)
    return spec(flow.Repeat, layer=spec(flow.Chain, layers=layers), num=num)


def _squeezed(*layers):
    """Layers on a picture with half the sides and four times the channels."""
    squeeze = spec(flow.Squeeze)
    back = spec(flow.Inverse, bijection=spec(flow.Squeeze))
    return spec(flow.Chain, layers=(squeeze, *layers, back))


def get_config():
    """The run as a config."""
    coarse = spec(flow.Split, inside=_squeezed(_steps(16)))
    return spec(
        Experiment,
        dataset=spec(TFDS, name='mnist'),
        preprocess=spec(Chain, steps=(spec(Dequantise), spec(Logit, alpha=0.05))),
        model=spec(Flow, bijection=_squeezed(_steps(16), coarse), shape=(28, 28, 1)),
        optimizer=spec(
            optax.adamax,
            learning_rate=spec(
                optax.warmup_cosine_decay_schedule,
                init_value=0.0,
                peak_value=1e-3,
                warmup_steps=1000,
                decay_steps=STEPS,
            ),
        ),
        steps=STEPS,
        batch_size=256,
        clip_norm=10.0,
        ema=(0.999,),
        validate_every=5000,
        validation=(spec(Likelihood),),
        best='likelihood/nll',
        sample_every=5000,
        test=(spec(Likelihood),),
    )
