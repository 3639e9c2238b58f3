"""Discrete codes of dynamically binarised MNIST: 16 tokens, with a causal prior over them.

    genjax data prepare mnist
    genjax train --config=configs/mnist/vq.py --workdir=runs/mnist_vq
    genjax train --config=configs/mnist/vq.py:fsq --workdir=runs/mnist_fsq

The first has 256 learned codes (VQ-VAE, with moving averages), the second 240 fixed ones (FSQ).
Expected on the test split: all codes of both in use, with perplexities of 247 and 193; bounds of
131.3 and 128.1 nats by the encoder's code alone, looser than IWAE; two or three minutes on one CPU
core.
"""

import optax

from genjax.config import spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import CodebookUse, Likelihood
from genjax.models import VQVAE
from genjax.networks import MLP, FiniteScalarQuantiser, MaskedMLP, VectorQuantiser
from genjax.training import Experiment

STEPS = 5000


def get_config(quantiser: str = 'vq'):
    """The run as a config; `quantiser` is 'vq' or 'fsq'."""
    quantisers = {
        'vq': spec(VectorQuantiser, num_codes=256, dim=8),
        'fsq': spec(FiniteScalarQuantiser, levels=(8, 6, 5)),
    }
    return spec(
        Experiment,
        dataset=spec(TFDS, name='mnist'),
        preprocess=spec(Chain, steps=(spec(Binarise),)),
        model=spec(
            VQVAE,
            encoder=spec(MLP, features=(512, 512), activation='silu'),
            decoder=spec(MLP, features=(512, 512), shape=(28, 28, 1), activation='silu'),
            num_tokens=16,
            quantiser=quantisers[quantiser],
            prior=spec(MaskedMLP, features=(256,)),
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS),
            weight_decay=1e-4,
        ),
        steps=STEPS,
        steps_per_call=10,
        batch_size=128,
        ema=(0.998,),
        log_every=500,
        evals={
            'nll': spec(Likelihood, split='validation', every=2500),
            'codes': spec(CodebookUse),
            'test_nll': spec(Likelihood),
        },
        sample_every=STEPS,
    )
