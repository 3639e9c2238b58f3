"""TCN on the JSB chorales: four-part music as piano rolls of 88 keys.

    genjax train --config=configs/jsb/tcn.py --workdir=runs/jsb
    genjax train --config=configs/jsb/tcn.py:made --workdir=runs/jsb_made

`:made` lets the keys of a frame depend on each other, by a MADE over those below. The music is
looked for at JSB_Chorales.mat; --config.dataset.path=FILE names another place.
Expected: 8.22 nats a frame on the test split, with `:made` 5.50, by the checkpoint (of step 2,500
to 3,500) that is best on the validation split. Published for independent keys: 8.10 (Bai et al.,
2018), an LSTM 8.45, without memory 11.06; for dependent keys, by an RNN-NADE, 5.56
(Boulanger-Lewandowski et al., 2012).
"""

from typing import Literal

import optax

from genjax.config import FieldReference, spec
from genjax.data import PianoRolls
from genjax.evaluation import TokenLikelihood
from genjax.models import FrameModel
from genjax.networks import TCN, MaskedAutoencoder
from genjax.training import DecayWeights, Experiment

FRAMES = 160


def get_config(within: Literal['independent', 'made'] = 'independent'):
    """The run as a config; `within` is what the keys of a frame are to each other: independent or,
    by a MADE, dependent.
    """
    steps = FieldReference(6000)
    made = MaskedAutoencoder((88,), features=(128,), dropout=0.5)
    # Like Bai et al., evaluates every frame but the first of each piece.
    options = {'batch_size': 77, 'given': 1, 'unit': 'frame'}
    return spec(
        Experiment,
        dataset=PianoRolls('JSB_Chorales.mat', frames=FRAMES),
        model=FrameModel(
            network=TCN((FRAMES, 88), features=150, num_layers=2, kernel_size=3, dropout=0.5),
            within=made if within == 'made' else None,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 2e-3, steps),
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=16,
        ema=(0.99,),
        evals={
            'nll': TokenLikelihood(split='validation', every=500, **options),
            'test_nll': TokenLikelihood(**options),
        },
        best='nll',
        checkpoint_every=0,
    )
