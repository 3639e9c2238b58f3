"""Flow matching of the 8x8 digits, conditional, with classifier-free guidance.

    genjax train --config=configs/digits/flow_matching.py --workdir=runs/flow
    genjax sample --workdir=runs/flow --label=3 --out=threes.png

Expected: a classifier of real digits, right for .993 of the test digits, gives .999 of 1,000
samples the label that was asked for; a two-sample test of 300 test digits and as many samples is
right for .55 ± .02; after two minutes on one core (seed 0).
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits, Scale
from genjax.evaluation import C2ST, LabelAccuracy
from genjax.models import DiffusionModel, diffusion
from genjax.networks import TimeMLP
from genjax.training import Experiment


def get_config():
    steps = FieldReference(6000)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Scale(low=-1.0, high=1.0, levels=17),)),
        model=DiffusionModel(
            TimeMLP((8, 8, 1), features=384, num_layers=4, dropout=0.1),
            path=diffusion.Rectified(t_min=1e-3),
            # Images are simpler than noise, for a small network above all.
            parameterisation=diffusion.X0(),
            # Not MinSNR: it weights the noisy end, which the label decides, by nearly 0.
            weighting=diffusion.TruncatedSNR(high=20.0),
            times=diffusion.LogitNormal(),
            num_classes=10,
            sampling=diffusion.DiffusionSampling(
                steps=20, bounds=(-1.0, 1.0), guide=diffusion.ClassifierFree(1.2)
            ),
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        batch_size=128,
        clip_norm=1.0,
        ema=(0.999,),
        log_every=200,
        evals={'labels': LabelAccuracy(), 'c2st': C2ST(as_stored=True)},
        checkpoint_every=0,
        num_samples=100,
    )
