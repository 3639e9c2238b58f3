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

import optax

from genjax.config import spec
from genjax.data import PianoRolls
from genjax.errors import UserError
from genjax.evaluation import TokenLikelihood
from genjax.models import FrameModel
from genjax.networks import TCN, MaskedAutoencoder
from genjax.training import Experiment

STEPS = 6000
FRAMES = 160


def get_config(within: str = 'independent'):
    """The run as a config; `within` is what the keys of a frame are to each other: independent or,
    by a MADE, dependent.
    """
    if within not in ('independent', 'made'):
        raise UserError(f"within is 'independent' or 'made', not {within!r}")
    made = spec(MaskedAutoencoder, shape=(88,), features=(128,), dropout=0.5)
    # Like Bai et al., evaluates every frame but the first of each piece.
    options = {'batch_size': 77, 'given': 1, 'unit': 'frame'}
    return spec(
        Experiment,
        dataset=spec(PianoRolls, path='JSB_Chorales.mat', frames=FRAMES),
        model=spec(
            FrameModel,
            network=spec(
                TCN,
                shape=(FRAMES, 88),
                features=150,
                num_layers=2,
                kernel_size=3,
                dropout=0.5,
            ),
            within=made if within == 'made' else None,
        ),
        optimizer=spec(
            optax.adamw,
            learning_rate=spec(optax.cosine_decay_schedule, init_value=2e-3, decay_steps=STEPS),
            weight_decay=0.01,
        ),
        steps=STEPS,
        batch_size=16,
        ema=(0.99,),
        evals={
            'nll': spec(TokenLikelihood, split='validation', every=500, **options),
            'test_nll': spec(TokenLikelihood, **options),
        },
        best='nll',
        checkpoint_every=0,
    )
