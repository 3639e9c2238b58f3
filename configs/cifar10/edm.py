"""EDM on CIFAR-10: preconditioning, log-normal times, Heun's sampler.

    genjax data prepare cifar10
    genjax train --config=configs/cifar10/edm.py --workdir=runs/cifar10_edm

For one host of 8 GPUs, 200 million pictures. Published (Karras et al., 2022; DDPM++ network,
without classes): FID 1.97 in 35 passes of the network, with augmentation, which is left out here.

The same run, small, on 8x8 digits, in about a minute on one CPU core:

    genjax train --config=configs/cifar10/edm.py:digits --workdir=runs/edm_digits \
        --config.steps=200

Expected: strokes, some of them digits; 200 steps are a rehearsal.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec, with_fields
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.models import DiffusionModel
from genjax.models.diffusion import EDM, DiffusionSampling, Karras, KarrasSchedule, LogNormal
from genjax.networks import UNet
from genjax.training import Experiment

BATCH_SIZE = 512

DIGITS = {
    'dataset': Digits(),
    'model.network': UNet((8, 8, 1), (16, 32), num_blocks=1, attention_at=(4,), time_scale=16.0),
    'optimizer.learning_rate.transition_steps': 20,
    'batch_size': 64,
}


def get_config(data: Literal['cifar10', 'digits'] = 'cifar10'):
    """The run as a config; `digits` is a small model of the same make."""
    steps = FieldReference(200_000_000 // BATCH_SIZE)
    config = spec(
        Experiment,
        dataset=TFDS('cifar10'),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=DiffusionModel(
            UNet(
                (32, 32, 3),
                (256, 256, 256),
                num_blocks=4,
                attention_at=(16,),
                dropout=0.13,
                time_scale=16.0,  # The network's time is ¼ log σ, between -1.6 and 1.1.
            ),
            path=Karras(),
            parameterisation=EDM(data_scale=0.5),
            times=LogNormal(mean=-1.2, std=1.2),
            sampling=DiffusionSampling(grid=KarrasSchedule(rho=7.0), steps=18),
        ),
        optimizer=spec(optax.adam, spec(optax.linear_schedule, 0.0, 1e-3, steps // 20)),
        steps=steps,
        batch_size=BATCH_SIZE,
        ema=(0.9993, 0.9999),  # a half-life of half a million images, and a longer one
        log_every=100,
        sample_every=10_000,
        num_samples=64,
    )
    return with_fields(config, DIGITS if data == 'digits' else {})
