"""A deep hierarchical VAE of maps on dynamically binarised MNIST, as VDVAE (Child, 2021): 16 levels
of 1 to 28 pixels' side, a run for a GPU.

    genjax data prepare mnist
    genjax train --config=configs/mnist/vdvae.py --workdir=runs/vdvae

Published of hierarchical VAEs: bounds of 78.0 nats (NVAE, Vahdat & Kautz, 2020) with statically
drawn bits. Not run yet; `configs/digits/ladder.py:maps` is the same model on a CPU.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import Likelihood
from genjax.models import LadderVAE
from genjax.networks import ConvLadder, ConvNet, MapDecoder
from genjax.training import DecayWeights, Experiment

SIDES = (1, 1, 7, 7, 7, 7, 14, 14, 14, 14, 14, 14, 28, 28, 28, 28)


def get_config():
    steps = FieldReference(200_000)
    rate = spec(optax.warmup_cosine_decay_schedule, 0.0, 1e-3, steps // 200, steps)
    return spec(
        Experiment,
        dataset=TFDS('mnist'),
        preprocess=Chain((Binarise(),)),
        model=LadderVAE(
            encoder=ConvNet((64,)),
            ladder=ConvLadder(SIDES, channels=8, width=128, bottleneck=32),
            decoder=MapDecoder((28, 28, 1), features=(64,), num_blocks=1),
            free_bits=0.01,
            free_bits_over='batch',
            eval_samples=100,
        ),
        optimizer=spec(optax.adamw, rate, weight_decay=0.01, mask=DecayWeights()),
        steps=steps,
        batch_size=128,
        clip_norm=200.0,
        nonfinite='skip',
        ema=(0.999,),
        evals={
            'nll': Likelihood(split='validation', every=steps // 20),
            'test_nll': Likelihood(),
        },
        best='nll',
        log_every=500,
        sample_every=steps // 20,
    )
