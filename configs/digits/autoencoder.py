"""First stages for the 8x8 digits: autoencoders against a discriminator of patches.

    genjax train --config=configs/digits/autoencoder.py --workdir=runs/autoencoder
    genjax train --config=configs/digits/autoencoder.py:vq --workdir=runs/vq_autoencoder

The first has codes of 4x4x2 numbers (KL), the second 4x4 tokens out of 64 codes (VQGAN). Models of
such codes are in `configs/digits/latent.py`.

Expected on the test split: not measured yet.
"""

import optax

from genjax.config import spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import CodebookUse, Reconstruction
from genjax.models import KLAutoencoder, VQAutoencoder
from genjax.networks import MapDecoder, MapEncoder, PatchDiscriminator, VectorQuantiser
from genjax.schedules import Scheduled, staircase
from genjax.training import Experiment

STEPS = 3000


def get_config(code: str = 'kl'):
    """The run as a config; `code` is 'kl' or 'vq'."""
    networks = {
        'encoder': spec(MapEncoder, features=(32, 64), num_blocks=1),
        'decoder': spec(MapDecoder, shape=(8, 8, 1), features=(64, 32), num_blocks=1),
        'discriminator': spec(PatchDiscriminator, features=(32, 64)),
        # Reconstruction alone first, while the discriminator already learns.
        'adversarial': spec(
            Scheduled,
            schedule=spec(staircase, values=(0.0, 0.1), lengths=(STEPS // 3, 2 * STEPS // 3)),
        ),
        'feature': 0.1,
    }
    model, codes = {
        'kl': (spec(KLAutoencoder, channels=2, **networks), {}),
        'vq': (
            spec(VQAutoencoder, quantiser=spec(VectorQuantiser, num_codes=64, dim=4), **networks),
            {'codes': spec(CodebookUse)},
        ),
    }[code]
    rate = spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS)
    return spec(
        Experiment,
        dataset=spec(Digits),
        preprocess=spec(Chain, steps=(spec(Scale, low=-1.0, high=1.0),)),
        model=model,
        optimizer={
            'autoencoder': spec(optax.adam, learning_rate=rate, b1=0.5),
            'discriminator': spec(optax.adam, learning_rate=rate, b1=0.5),
        },
        steps=STEPS,
        batch_size=64,
        ema=(0.995,),
        log_every=500,
        sample_every=STEPS,
        evals={'reconstruction': spec(Reconstruction), **codes},
    )
