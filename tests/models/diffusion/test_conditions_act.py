"""At high noise, where the label is all that is known, the output of a trained model follows it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.digits.flow_matching import get_config
from genjax.config import build
from genjax.models import DiffusionModel
from genjax.networks import TimeMLP
from tests.models.diffusion.trained import MEANS, train
from tests.tiers import few

pytestmark = pytest.mark.slow

RECIPES = {'config': None, 'defaults': DiffusionModel(TimeMLP((8,)))}


@pytest.mark.parametrize('recipe', few(list(RECIPES), ['defaults']))
def test_the_expected_data_at_high_noise_are_the_mean_of_the_label(recipe):
    model = RECIPES[recipe] or build(get_config()).model
    network = TimeMLP((8,), 64, 2)
    model = dataclasses.replace(model, network=network, num_classes=3)
    variables = train(model)
    noise = jax.random.normal(jax.random.key(4), (100, 8))

    @jax.jit
    def expected(label):
        return model.denoise(variables, noise, jnp.float32(0.99), jnp.full(100, label)).data

    means = np.array([jnp.mean(expected(label), axis=0) for label in range(3)])
    assert np.sqrt(np.mean((means - MEANS) ** 2)) < 0.1
