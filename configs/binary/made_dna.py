"""MADE on the DNA data, 180 bits.

    genjax train --config=configs/binary/made_dna.py --workdir=runs/made_dna

The files are looked for as dna.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. Published (Germain et al., 2015):
83.63 nats with one fixed set of masks, 79.66 with sampled ones.
"""

import optax

from genjax.config import spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import Experiment

STEPS = 2000


def get_config():
    """The run as a config."""
    return spec(
        Experiment,
        dataset=spec(Binary, path='dna.{split}.data.gz'),
        model=spec(
            MADE,
            network=spec(
                MaskedAutoencoder,
                shape=(180,),
                features=(500,),
                num_masks=16,
                dropout=0.5,
            ),
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=1e-3, decay_steps=STEPS),
            weight_decay=0.01,
        ),
        steps=STEPS,
        batch_size=100,
        ema=(0.99,),
        validate_every=100,
        validation=(spec(Likelihood, batch_size=500),),
        best='likelihood/nll',
        keep=1,
        checkpoint_every=0,
        test=(spec(Likelihood, batch_size=500),),
    )
