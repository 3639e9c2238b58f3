"""VAE on dynamically binarised MNIST, as Burda et al., "Importance weighted autoencoders" (2016).

    genjax data prepare mnist
    genjax train --config=configs/mnist/vae.py --workdir=runs/mnist_vae

Expected: test NLL (IWAE-5000) of 88.2 nats after 200 epochs at batches of 100, in eight minutes on
one CPU core and 15 more to judge it. The paper reaches 86.76 after 3,280 epochs at batches of 20.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import TFDS, Binarise, Chain
from genjax.evaluation import Likelihood
from genjax.models import VAE, Bernoulli
from genjax.networks import MLP
from genjax.training import Experiment

BATCH_SIZE = 100


def get_config():
    steps = FieldReference(200 * 55_000 // BATCH_SIZE)
    return spec(
        Experiment,
        dataset=TFDS('mnist', train='train[:55000]', validation='train[55000:]'),
        preprocess=Chain((Binarise(),)),
        model=VAE(
            encoder=MLP((200, 200), activation='tanh'),
            decoder=MLP((200, 200), shape=(28, 28, 1), activation='tanh'),
            latent_dim=50,
            likelihood=Bernoulli(),
            eval_samples=5000,
        ),
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        steps_per_call=50,
        batch_size=BATCH_SIZE,
        log_every=1000,
        checkpoint_every=10_000,
        sample_every=30_000,
        evals={'test_nll': Likelihood(batch_size=100)},
    )
