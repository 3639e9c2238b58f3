"""M2 of Kingma et al., "Semi-supervised learning with deep generative models" (2014): a VAE given
the digit and a classifier, from 100 labelled images and all others without labels.

    genjax data prepare mnist
    genjax train --config=configs/mnist/vae_m2.py --workdir=runs/m2

Expected: test error of 53.8 % (one draw, seed 0) after 127 seconds of CPU time, by far too little
training (experiments/few_labels). Published: 11.97 % from 100 labels and 3.60 % from 1,000, with
wider networks and far more steps.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain, SemiSupervised
from genjax.evaluation import Accuracy
from genjax.models import SemiSupervisedVAE
from genjax.networks import MLP
from genjax.training import Experiment


def get_config():
    steps = FieldReference(1200)
    net = {'activation': 'silu'}
    return spec(
        Experiment,
        dataset=SemiSupervised(
            TFDS('mnist', train='train[:55000]', validation='train[55000:]'),
            per_class=10,
            share=0.2,
        ),
        preprocess=Chain((Binarise(),)),
        # Its bound is computed for ten classes: narrow networks.
        model=SemiSupervisedVAE(
            encoder=MLP((200,), **net),
            decoder=MLP((200,), shape=(28, 28, 1), **net),
            latent_dim=20,
            num_classes=10,
            classifier=MLP((400, 400), **net),
            alpha=10.0,
            eval_samples=20,
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 1e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=128,
        ema=(0.999,),
        log_every=500,
        evals={'accuracy': Accuracy()},
    )
