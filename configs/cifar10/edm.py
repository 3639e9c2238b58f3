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

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.errors import UserError
from genjax.models import DiffusionModel
from genjax.models.diffusion import EDM, DiffusionSampling, Karras, KarrasSchedule, LogNormal
from genjax.networks import UNet
from genjax.training import Experiment

BATCH_SIZE = 512
STEPS = 200_000_000 // BATCH_SIZE


def get_config(data: str = 'cifar10'):
    """The run as a config; `data` is cifar10, or digits for a small model of the same make."""
    if data not in ('cifar10', 'digits'):
        raise UserError(f"data is 'cifar10' or 'digits', not {data!r}")
    small = data == 'digits'
    network = (
        {'shape': (8, 8, 1), 'features': (16, 32), 'num_blocks': 1, 'attention_at': (4,)}
        if small
        else {
            'shape': (32, 32, 3),
            'features': (256, 256, 256),
            'num_blocks': 4,
            'attention_at': (16,),
            'dropout': 0.13,
        }
    )
    return spec(
        Experiment,
        dataset=spec(Digits) if small else spec(TFDS, name='cifar10'),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            DiffusionModel,
            # Its time is ¼ log σ, between -1.6 and 1.1.
            network=spec(UNet, time_scale=16.0, **network),
            path=spec(Karras),
            parameterisation=spec(EDM, data_scale=0.5),
            times=spec(LogNormal, mean=-1.2, std=1.2),
            sampling=spec(DiffusionSampling, grid=spec(KarrasSchedule, rho=7.0), steps=18),
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(
                optax.linear_schedule,
                init_value=0.0,
                end_value=1e-3,
                transition_steps=20 if small else 10_000_000 // BATCH_SIZE,
            ),
        ),
        steps=STEPS,
        batch_size=64 if small else BATCH_SIZE,
        # A half-life of half a million pictures, and a longer one.
        ema=(0.9993, 0.9999),
        log_every=100,
        sample_every=10_000,
        num_samples=64,
    )
