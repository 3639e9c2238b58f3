"""Labels that a model does not know are refused: an embedding would take the nearest row."""

import jax
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import VAE, DiffusionModel
from genjax.networks import MLP, TimeMLP


@pytest.mark.parametrize('label', [-1, 3, 99])
def test_a_label_that_is_no_class_is_refused(label):
    vae = VAE(encoder=MLP((4,)), decoder=MLP((4,), shape=(2,)), latent_dim=2, num_classes=3)
    diffusion = DiffusionModel(network=TimeMLP(features=4, shape=(2,)), num_classes=3)
    batch = {'x': np.zeros((2, 2), np.float32), 'label': np.zeros(2, np.int32)}
    for model in (vae, diffusion):
        labels = np.array([0, label], np.int32)
        if model is diffusion and label == 3:  # stands for none
            continue
        variables = jax.eval_shape(model.init, jax.random.key(0), batch)
        with pytest.raises(UserError, match=f'label={label} is not one of the 3 classes 0..2'):
            model.sample(variables, jax.random.key(1), 2, label=labels)
