"""Features of models without an encoder: the input of a network's last layer."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import GAN, DiffusionModel, flax_utils
from genjax.networks import MLP, TimeMLP
from tests.models.probe import variables_of
from tests.models.zoo import BY_NAME
from tests.tiers import full

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ('name', 'group', 'layer'),
    [
        ('gan', 'discriminator', 'output'),
        full('gpt-rotary-scan', 'network', 'out'),
        ('frames-tcn', 'network', 'out'),
        ('pixelcnn', 'network', 'out'),
        ('flow-matching', 'network', 'output'),
    ],
)
def test_the_last_layer_of_the_features_is_the_output(name, group, layer):
    """In the mean over positions, as the layer is linear."""
    entry = BY_NAME[name]
    model, variables, x = entry.model, variables_of(entry), entry.batch()['x']
    last = variables['params'][group][layer]

    @jax.jit
    def both(variables, x):
        outputs = {
            'gan': lambda: model.discriminate(variables, x)[:, None],
            'pixelcnn': lambda: model._params(variables, None, x)[0],
            'flow-matching': lambda: _output(model, variables, x),
        }
        out = outputs.get(name, lambda: _logits(model, variables, x))()
        return out, model.features(variables, x)

    out, features = both(variables, x)
    want = out.reshape(len(out), -1, out.shape[-1]).mean(1)
    got = features @ last['kernel'].reshape(features.shape[1], -1) + last['bias']
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def _logits(model, variables, x):
    return model.network.apply({'params': variables['params']['network']}, model._shift(x))


def _output(model, variables, x):
    """At the time .09 of the straight path, where noise and data are 1 to 10, in this order."""
    t = jnp.full((len(x), 1), 1 / 11)
    noise = jax.random.normal(jax.random.key(0), x.shape[1:])
    return model.output(variables, (1 - t) * x + t * noise, t, group='network')[0]


def test_padding_is_not_in_the_features_of_a_sequence():
    entry = BY_NAME['frames-tcn']
    variables, x = variables_of(entry), entry.batch()['x']
    short = x.at[:, 3:].set(-1)
    features = jax.jit(entry.model.features)(variables, short)
    _, h = jax.jit(lambda v, x: _hidden(entry.model, v, x))(variables, x)
    np.testing.assert_allclose(features, h[:, :3].mean(1), rtol=1e-5, atol=1e-6)


def _hidden(model, variables, x):
    return flax_utils.hidden(model.network, variables, 'network', model._shift(x))


def test_labels_and_packs_of_a_discriminator():
    for name in ('gan-dcgan-labels', 'gan-packed'):
        entry = BY_NAME[name]
        variables, x = variables_of(entry), entry.batch()['x']
        features = jax.jit(entry.model.features)
        some = features(variables, jnp.concatenate([x[:1], x[:1], 0 * x[2:]]))
        np.testing.assert_array_equal(some[0], features(variables, x)[0])
        assert np.all(np.isfinite(some)) and len(some) == 8


class _Silent(nn.Module):
    shape: tuple = (2,)

    @nn.compact
    def __call__(self, x, time=None):
        return nn.Dense(2)(x)


def test_a_network_that_stores_none_is_named():
    batch = {'x': jnp.zeros((2, 2))}
    for model in (GAN(MLP((4,), shape=(2,)), _Silent(), 2), DiffusionModel(_Silent())):
        with pytest.raises(UserError, match=r"_Silent stores no features.*sow\('intermediates'"):
            model.features(model.init(jax.random.key(0), batch), batch['x'])
    model = DiffusionModel(TimeMLP((2,), 4, 1), num_classes=3, condition_dropout=0.0)
    with pytest.raises(UserError, match='features asks the network for its output without a cond'):
        model.features({}, batch['x'])
