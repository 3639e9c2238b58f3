"""Passes of the network for a sample, against those that follow from each sampler."""

import dataclasses

import jax
import pytest

from genjax.evaluation import speed
from genjax.evaluation.passes import network_passes
from genjax.models.diffusion import (
    ClassifierFree,
    DiffusionModel,
    DiffusionSampling,
    Euler,
    FewStepSampling,
    Heun,
)
from genjax.models.flow import Autoregressive, Chain, Flow, Repeat, Reverse
from genjax.networks import MaskedMLP, TimeMLP
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KNOWN = {
    'vae': 1,
    'gan-dcgan-batch-norm': 1,
    'flow-realnvp-context': 1,  # three couplings, stacked, are one network
    'flow-matching': 2 * 4 - 1,  # Heun: the last step is Euler's
    'diffusion-labels': 4 + 3,  # from times 1, 3/4, 1/2 and 1/4, all but the first guided
    'mean-flow': 1,
    'consistency': 2,
    'made': 2 * 9,  # guided bits
    'gpt-rotary-scan': 6,  # tokens
    'gpt-lstm': 2 * 5,  # guided tokens
    'flow-maf-spline': 3,  # the inverse of each layer takes a pass for each number
    'stylegan': 1,
    'vq': 2,  # the prior's, over two codes
    'joint-table': 0,
}
SHORT = ('vae', 'flow-matching', 'diffusion-labels', 'flow-maf-spline', 'made')


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[] if n in SHORT else pytest.mark.full) for n in KNOWN]
)
def test_passes_are_those_of_the_sampler(name):
    entry = BY_NAME[name]
    assert passes(entry.model, entry.batch()) == pytest.approx(KNOWN[name])


def test_steps_order_and_guidance_multiply():
    """Five steps of order one or two, the last of order one, with one or two conditions."""
    model = DiffusionModel(TimeMLP((2,), 8, 1), num_classes=3)
    batch = BY_NAME['diffusion-labels'].batch()
    for sampler, guide, expected in (
        (Euler(), None, 5),
        (Euler(), ClassifierFree(2.0), 10),
        (Heun(), ClassifierFree(2.0), 18),
    ):
        sampling = DiffusionSampling(sampler, steps=5, guide=guide)
        assert passes(dataclasses.replace(model, sampling=sampling), batch) == expected


def test_an_inverse_that_computes_each_unit_once_has_a_pass_for_each_number():
    layer = Chain((Autoregressive(MaskedMLP((8,))), Reverse()))
    model = Flow(Repeat(layer, 2), (20,))
    assert passes(model, {'x': jax.numpy.zeros((2, 20))}) == 20


@pytest.mark.full
def test_few_steps_are_their_number():
    entry = BY_NAME['mean-flow']
    model = dataclasses.replace(entry.model, sampling=FewStepSampling(3))
    assert passes(model, entry.batch()) == 3


def passes(model, batch):
    def draw(variables, key):
        return speed._sample(model, variables, key)

    return network_passes(draw, model.init(jax.random.key(0), batch), jax.random.key(1), num=12)
