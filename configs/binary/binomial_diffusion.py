"""The binomial diffusion of Sohl-Dickstein et al. (2015) on the survey of disabilities NLTCS, 16
bits.

    genjax train --config=configs/binary/binomial_diffusion.py --workdir=runs/binomial_diffusion

The files are looked for as nltcs.train.data.gz and so on; --config.dataset.path=… names another
place, with {split} in the name. MADE has 6.00 nats here, exact.
Expected: 5.95 nats on the test split, an upper bound estimated from 100 of the 1,000 steps an
example; 6.01 from 600, with a standard error of 0.02 from the steps. About a minute of processor
time.
"""

import optax

from genjax.config import FieldReference, spec
from genjax.data import Binary
from genjax.evaluation import Likelihood
from genjax.models import DiscreteDiffusion
from genjax.models.diffusion import DiscreteSampling, UniformNoise
from genjax.networks import TimeMLP
from genjax.training import DecayWeights, Experiment


def get_config():
    steps = FieldReference(10_000)
    return spec(
        Experiment,
        dataset=Binary('nltcs.{split}.data.gz'),
        model=DiscreteDiffusion(
            network=TimeMLP((16,), features=128, num_layers=2),
            path=UniformNoise(schedule='linear'),
            chain=1000,
            sampling=DiscreteSampling(steps=1000),
            eval_samples=100,
        ),
        optimizer=spec(
            optax.adamw,
            spec(optax.cosine_decay_schedule, 2e-3, steps),
            weight_decay=0.01,
            mask=DecayWeights(),
        ),
        steps=steps,
        batch_size=256,
        clip_norm=10.0,
        ema=(0.999,),
        evals={
            'nll': Likelihood(split='validation', every=2000, batch_size=500),
            'test_nll': Likelihood(batch_size=500),
        },
        best='nll',
        keep=1,
        checkpoint_every=0,
    )
