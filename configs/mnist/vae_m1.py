"""M1 of Kingma et al., "Semi-supervised learning with deep generative models" (2014): a VAE learns
from all images without labels, and a simple classifier from its codes of 100 labelled ones.

    genjax data prepare mnist
    genjax train --config=configs/mnist/vae_m1.py --workdir=runs/m1

Expected: test error, over 10 draws of the labels, of 11.8 ± 1.2 % by logistic regression, 10.4 ±
1.6 % by a support vector machine and 7.0 ± 2.3 % by label propagation, after 24 minutes of a shared
core. On pixels they have 25.7 ± 2.5, 22.2 ± 2.2 and 19.0 ± 2.0 %
(experiments/few_labels). The paper has 11.82 % by a transductive support vector machine.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import Probe
from genjax.models import VAE, Bernoulli, VampPrior
from genjax.networks import MLP
from genjax.training import Experiment


def get_config():
    steps = FieldReference(15_000)
    return spec(
        Experiment,
        dataset=TFDS('mnist', train='train[:55000]', validation='train[55000:]'),
        preprocess=Chain((Binarise(),)),
        # Few dimensions, and a prior of many modes: the classes come apart.
        model=VAE(
            encoder=MLP((400, 400), activation='silu'),
            decoder=MLP((400, 400), shape=(28, 28, 1), activation='silu'),
            latent_dim=10,
            likelihood=Bernoulli(),
            prior=VampPrior(100),
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        steps_per_call=10,
        batch_size=200,
        log_every=500,
        evals={
            'logistic': Probe(per_class=10, repeats=10),
            'svm': Probe(per_class=10, learner='svm', repeats=10),
            'propagation': Probe(per_class=10, learner='propagation', repeats=10),
        },
    )
