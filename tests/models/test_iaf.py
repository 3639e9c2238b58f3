"""The flow posterior against the Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import VAE, InverseAutoregressive, VampPrior
from genjax.models.vae.bounds import gaussian_log_prob
from genjax.networks import MLP, MaskedMLP
from tests.models.zoo import BY_NAME

pytestmark = pytest.mark.slow

KEY = jax.random.key(6)


@pytest.fixture(scope='module')
def flow():
    """A flow of codes of 4 numbers whose parameters are not those of the identity."""
    module = InverseAutoregressive(MaskedMLP((16,), activation='tanh'), steps=2)
    z, context = jax.random.normal(KEY, (2, 5, 4))
    leaves, structure = jax.tree.flatten(jax.jit(module.init)(KEY, z, context))
    keys = jax.random.split(KEY, len(leaves))
    noise = [a + 0.5 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    variables = structure.unflatten(noise)
    return jax.jit(lambda z, context: module.apply(variables, z, context)), z, context


def test_log_determinant_is_that_of_the_jacobian(flow):
    apply, z, context = flow
    jacobian = jax.vmap(jax.jacfwd(lambda z, c: apply(z[None], c[None])[0][0]))(z, context)
    want = np.linalg.slogdet(jacobian)[1]
    assert np.max(np.abs(want)) > 0.1
    np.testing.assert_allclose(apply(z, context)[1], want, atol=1e-4)
    # Two steps with the order turned round: every number depends on every other.
    assert np.all(np.abs(jacobian).sum(0) > 0)


def test_the_context_reaches_every_number(flow):
    apply, z, context = flow
    jacobian = jax.jacfwd(lambda c: apply(z[:1], c)[0][0])(context[:1])
    assert np.all(np.abs(jacobian).sum(axis=(1, 2)) > 0)


def test_a_new_flow_is_the_identity_and_the_density_of_codes_follows_it():
    entry = BY_NAME['vae-iaf']
    model, batch = entry.model, entry.batch()
    variables = jax.jit(model.init)(KEY, batch)
    posterior = model._encode(variables, batch['x'])
    noise = jax.random.normal(KEY, (3, 8, 3))
    z, log_q = jax.jit(model._codes)(variables, posterior, noise)
    want = posterior.mean + jnp.exp(posterior.log_std) * noise
    np.testing.assert_allclose(z, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        log_q, gaussian_log_prob(z, posterior.mean, posterior.log_std), rtol=1e-4
    )
    kernel = variables['params']['flow']['step_0']['output']['bias']
    variables['params']['flow']['step_0']['output']['bias'] = kernel + 1.0
    moved, new_log_q = jax.jit(model._codes)(variables, posterior, noise)
    assert jnp.all(moved != z)
    np.testing.assert_allclose(log_q - new_log_q, 3 * 3 * np.tanh(1 / 3), rtol=1e-4)


def test_mistakes_are_named():
    networks = MLP((4,)), MLP((4,), shape=(3,)), 2
    with pytest.raises(UserError, match='steps'):
        InverseAutoregressive(steps=0)
    with pytest.raises(UserError, match='flow'):
        VAE(*networks, flow=InverseAutoregressive(), bound='dreg')
    with pytest.raises(UserError, match='flow'):
        VAE(*networks, flow=InverseAutoregressive(), prior=VampPrior(2))
