"""MADE on the DNA data, 180 bits.

    genjax train --config=configs/binary/made_dna.py --workdir=runs/made_dna
    genjax train --config=configs/binary/made_dna.py:sampled --workdir=runs/made_dna_sampled

The files are looked for as dna.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. Expected on the test split, exact: 83.2 nats with one fixed set of
masks, after half a minute, and 79.2 averaged over 16 sampled ones, after a minute. Published
(Germain et al., 2015): 83.63 and 79.66.
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import MADE
from genjax.networks import MaskedAutoencoder
from genjax.training import DecayWeights, Experiment


def get_config(masks: Literal['fixed', 'sampled'] = 'fixed'):
    """The run as a config; `masks` are fixed (one set) or sampled (16 sets, averaged)."""
    num_masks, steps, learning_rate, decay = {
        'fixed': (1, FieldReference(2000), 5e-3, 0.3),
        'sampled': (16, FieldReference(6000), 1e-2, 0.1),
    }[masks]
    return spec(
        Experiment,
        dataset=Binary('dna.{split}.data.gz'),
        model=MADE(MaskedAutoencoder((180,), features=(500,), num_masks=num_masks, dropout=0.5)),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, learning_rate, steps),
            weight_decay=decay,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=100,
        ema=(0.99,),
        evals={
            'nll': Likelihood(split='validation', every=100, batch_size=500),
            'test_nll': Likelihood(batch_size=500),
        },
        best='nll',
        keep=1,
        checkpoint_every=0,
    )
