"""First stages for the 8x8 digits: autoencoders against a discriminator of patches.

    genjax train --config=configs/digits/autoencoder.py --workdir=runs/autoencoder
    genjax train --config=configs/digits/autoencoder.py:vq --workdir=runs/vq_autoencoder

The first has codes of 4x4x2 numbers (KL), the second 4x4 tokens out of 64 codes (VQGAN). Models of
such codes are in `configs/digits/latent.py`.

Expected on the test split: not measured yet.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import CodebookUse, Reconstruction
from genjax.models import KLAutoencoder, VQAutoencoder
from genjax.networks import MapDecoder, MapEncoder, PatchDiscriminator, VectorQuantiser
from genjax.schedules import Scheduled, staircase
from genjax.training import Experiment


def get_config(code: Literal['kl', 'vq'] = 'kl'):
    steps = FieldReference(3000)
    networks = {
        'encoder': MapEncoder(features=(32, 64), num_blocks=1),
        'decoder': MapDecoder(shape=(8, 8, 1), features=(64, 32), num_blocks=1),
        'discriminator': PatchDiscriminator(features=(32, 64)),
        # Reconstruction alone first, while the discriminator already learns.
        'adversarial': Scheduled(spec(staircase, (0.0, 0.1), (steps // 3, 2 * steps // 3))),
        'feature': 0.1,
    }
    model, codes = {
        'kl': (KLAutoencoder(channels=2, **networks), {}),
        'vq': (
            VQAutoencoder(quantiser=VectorQuantiser(num_codes=64, dim=4), **networks),
            {'codes': CodebookUse()},
        ),
    }[code]
    rate = spec(optax.cosine_decay_schedule, 1e-3, steps)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Scale(low=-1.0, high=1.0),)),
        model=model,
        optimizer={
            'autoencoder': spec(optax.adam, rate, b1=0.5),
            'discriminator': spec(optax.adam, rate, b1=0.5),
        },
        steps=steps,
        batch_size=64,
        ema=(0.995,),
        log_every=500,
        sample_every=steps,
        evals={'reconstruction': Reconstruction(), **codes},
    )
