"""DDPM on CIFAR-10: a chain of 1000 steps, noise prediction, ancestral sampling.

    genjax data prepare cifar10
    genjax train --config=configs/cifar10/ddpm.py --workdir=runs/cifar10_ddpm

For one host of 8 GPUs or TPU chips, 800,000 steps. Published (Ho et al., 2020): FID 3.17 with
their network of 36 million parameters, its EMA of .9999 and the larger variance β of a step, all as
here, and with flips of the training images, which are left out here. Their EMA begins at .9999,
ours reaches it after 90,000 steps; at 800,000 neither has memory of the first ones.

The same run, small, on 8x8 digits, in about a minute on one CPU core:

    genjax train --config=configs/cifar10/ddpm.py:digits --workdir=runs/ddpm_digits \
        --config.steps=200

Expected: strokes, some of them digits; 200 steps are a rehearsal.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.models import DiffusionModel
from genjax.models.diffusion import Ancestral, DiffusionSampling, DiscreteVP, Epsilon
from genjax.networks import UNet
from genjax.training import Experiment

DIGITS = {
    'dataset': Digits(),
    'model.network': UNet((8, 8, 1), (16, 32), num_blocks=1, attention_at=(4,), scale_shift=False),
    'model.sampling.steps': 100,
    'optimizer.learning_rate.end_value': 1e-3,
    'optimizer.learning_rate.transition_steps': 20,
    'batch_size': 64,
}


def get_config(data: Literal['cifar10', 'digits'] = 'cifar10'):
    """The run as a config; `digits` is a small model of the same make."""
    steps = FieldReference(800_000)
    config = spec(
        Experiment,
        dataset=TFDS('cifar10'),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=DiffusionModel(
            UNet(
                (32, 32, 3),
                (128, 256, 256, 256),
                num_blocks=2,
                attention_at=(16,),
                head_features=256,
                dropout=0.1,
                scale_shift=False,
            ),
            path=DiscreteVP(),
            parameterisation=Epsilon(),
            sampling=DiffusionSampling(
                sampler=Ancestral(upper_variance=True), steps=1000, bounds=(-1.0, 1.0)
            ),
        ),
        optimizer=spec(optax.adam, spec(optax.linear_schedule, 0.0, 2e-4, steps // 160)),
        clip_norm=1.0,
        steps=steps,
        batch_size=128,
        ema=(0.9999,),
        log_every=100,
        sample_every=10_000,
        num_samples=64,
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
