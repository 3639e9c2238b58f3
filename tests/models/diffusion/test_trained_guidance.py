"""Guidance by the slopes of trained networks, whose errors do not fade with the signal."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models import DiffusionModel
from genjax.models.diffusion import (
    DDIM,
    DPM2M,
    EDM,
    VE,
    Ancestral,
    Churn,
    Classifier,
    CosineVP,
    DiffusionSampling,
    DiscreteVP,
    Euler,
    Heun,
    Karras,
    LinearVP,
    LogNormal,
    PowerSchedule,
    Rectified,
    SubVP,
)
from genjax.models.diffusion.paths import Path
from genjax.models.sampling_options import with_sampling
from genjax.networks import TimeMLP
from tests.models.diffusion.trained import MEANS, SCALE, STD, Unlabelled, cluster, draw, train
from tests.tiers import full

pytestmark = pytest.mark.slow

KEY = jax.random.key(5)
PATHS = (Rectified(), CosineVP(), LinearVP(), SubVP(), DiscreteVP(), VE(), Karras())
SAMPLERS = (
    Heun(),
    *map(full, (Ancestral(), DPM2M(), Euler(), DDIM(0.5), Churn(growth=0.1))),
)
TRUTH = draw(jax.random.key(3), 200)
MASK = np.arange(8) < 4
# What is known gives the cluster; of that, truth and sample are independent draws.
RMS = SCALE * 2**0.5


@dataclasses.dataclass(frozen=True)
class OneOf(Path):
    """One of PATHS by its number, so that a program is compiled once for all of them."""

    number: jax.Array

    def _of(self, function, *args):
        return jnp.stack([getattr(path, function)(*args) for path in PATHS])[self.number]

    def alpha(self, t):
        return self._of('alpha', t)

    def sigma(self, t):
        return self._of('sigma', t)

    def time(self, log_snr):
        return self._of('time', log_snr)

    @property
    def t_min(self):
        return jnp.array([path.t_min for path in PATHS])[self.number]

    @property
    def t_max(self):
        return jnp.array([path.t_max for path in PATHS])[self.number]


def rms(x):
    """Of the error in what is unknown."""
    return float(jnp.sqrt(jnp.mean((x - TRUTH['x'])[:, ~MASK] ** 2)))


LEARNED = DiffusionModel(
    Unlabelled(),
    Karras(),
    EDM(STD),
    times=LogNormal(-0.5, 1.6),
    num_classes=3,
    sampling=DiffusionSampling(steps=30, guide=Classifier(TimeMLP((3,), 32, 1, time_scale=100.0))),
)


@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_guidance_along_every_path(sampler):
    """A network of the signal-to-noise ratio alone serves all paths."""
    variables = train(LEARNED)

    @jax.jit
    def sample(number):
        power = jnp.where(number == len(PATHS) - 1, 7.0, 1.0)  # Karras
        model = dataclasses.replace(LEARNED, path=OneOf(number))
        model = with_sampling(model, sampler=sampler, grid=PowerSchedule(power))
        guided = model.sample(variables, KEY, 200, label=TRUTH['label'])
        model = with_sampling(model, guide=None)
        return guided, model.inpaint(variables, KEY, TRUTH['x'], MASK, data_scale=SCALE)

    for number, path in enumerate(PATHS):
        guided, inpainted = sample(number)
        nearest = cluster(guided)
        spread = jnp.sqrt(jnp.mean((guided - MEANS[nearest]) ** 2))
        assert np.mean(nearest == TRUTH['label']) > 0.94, path
        assert float(spread) < 1.25 * SCALE, path
        assert rms(inpainted) < 1.35 * RMS, path


@pytest.mark.full
def test_inpainting_with_all_defaults():
    model = DiffusionModel(TimeMLP((8,), 64, 2), sampling=DiffusionSampling(steps=30))
    variables = train(model)

    fields = ({}, {'path': CosineVP()}, {'bounds': (-1.0, 1.0)})
    models = [with_sampling(model, **changed) for changed in fields]

    @jax.jit
    def inpaint():
        return [m.inpaint(variables, KEY, TRUTH['x'], MASK, data_scale=SCALE) for m in models]

    plain, cosine, bounded = inpaint()
    for x in (plain, cosine, bounded):
        assert rms(x) < 1.35 * RMS
    assert float(jnp.max(jnp.abs(bounded[:, ~MASK]))) < 1.02
