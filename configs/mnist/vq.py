"""Discrete codes of dynamically binarised MNIST: 16 tokens, with a causal prior over them.

    genjax data prepare mnist
    genjax train --config=configs/mnist/vq.py --workdir=runs/mnist_vq
    genjax train --config=configs/mnist/vq.py:fsq --workdir=runs/mnist_fsq

The first has 256 learned codes (VQ-VAE, with moving averages), the second 240 fixed ones (FSQ).
Expected on the test split: all codes of both in use, with perplexities of 247 and 193; bounds of
131.3 and 128.1 nats by the encoder's code alone, looser than IWAE; two or three minutes on one CPU
core.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import CodebookUse, Likelihood
from genjax.models import VQVAE
from genjax.networks import MLP, FiniteScalarQuantiser, MaskedMLP, VectorQuantiser
from genjax.training import DecayWeights, Experiment


def get_config(quantiser: Literal['vq', 'fsq'] = 'vq'):
    steps = FieldReference(5000)
    quantisers = {
        'vq': VectorQuantiser(num_codes=256, dim=8),
        'fsq': FiniteScalarQuantiser(levels=(8, 6, 5)),
    }
    return spec(
        Experiment,
        dataset=TFDS('mnist'),
        preprocess=Chain((Binarise(),)),
        model=VQVAE(
            encoder=MLP((512, 512), activation='silu'),
            decoder=MLP((512, 512), shape=(28, 28, 1), activation='silu'),
            num_tokens=16,
            quantiser=quantisers[quantiser],
            prior=MaskedMLP((256,)),
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 1e-3, steps),
            weight_decay=1e-4,
            mask=DecayWeights(),
        ),
        steps=steps,
        steps_per_call=10,
        batch_size=128,
        ema=(0.998,),
        log_every=500,
        evals={
            'nll': Likelihood(split='validation', every=2500),
            'codes': CodebookUse(),
            'test_nll': Likelihood(),
        },
        sample_every=steps,
    )
