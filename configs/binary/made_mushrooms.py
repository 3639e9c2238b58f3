"""MADE on the mushrooms, 112 bits.

    genjax train --config=configs/binary/made_mushrooms.py --workdir=runs/made_mushrooms

The files are looked for as mushrooms.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. Expected: 9.59 nats on the test split, exact, after a minute,
measured when biases decayed too. Published (Germain et al., 2015): 9.68.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import DecayWeights, Experiment


def get_config():
    steps = FieldReference(16_000)
    return spec(
        Experiment,
        dataset=Binary('mushrooms.{split}.data.gz'),
        model=MADE(MaskedAutoencoder((112,), features=(500,), num_masks=32, dropout=0.2)),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 1e-2, steps),
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=100,
        ema=(0.99,),
        evals={
            'nll': Likelihood(split='validation', every=1000, batch_size=500),
            'test_nll': Likelihood(batch_size=500),
        },
        best='nll',
        keep=1,
        checkpoint_every=0,
    )
