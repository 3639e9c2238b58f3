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

import optax

from genjax.config import spec
from genjax.data import TFDS, Chain, Digits, Scale
from genjax.errors import UserError
from genjax.models import DiffusionModel
from genjax.models.diffusion import Ancestral, DiffusionSampling, DiscreteVP, Epsilon
from genjax.networks import UNet
from genjax.training import Experiment


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
            'features': (128, 256, 256, 256),
            'num_blocks': 2,
            'attention_at': (16,),
            'head_features': 256,
            'dropout': 0.1,
        }
    )
    return spec(
        Experiment,
        dataset=spec(Digits) if small else spec(TFDS, name='cifar10'),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=spec(
            DiffusionModel,
            network=spec(UNet, scale_shift=False, **network),
            path=spec(DiscreteVP),
            parameterisation=spec(Epsilon),
            sampling=spec(
                DiffusionSampling,
                sampler=spec(Ancestral, upper_variance=True),
                steps=100 if small else 1000,
                bounds=(-1.0, 1.0),
            ),
        ),
        optimizer=spec(
            optax.adam,
            learning_rate=spec(
                optax.linear_schedule,
                init_value=0.0,
                end_value=1e-3 if small else 2e-4,
                transition_steps=20 if small else 5000,
            ),
        ),
        clip_norm=1.0,
        steps=800_000,
        batch_size=64 if small else 128,
        ema=(0.9999,),
        log_every=100,
        sample_every=10_000,
        num_samples=64,
    )
