"""Masked models of tokens, with a network whose answer is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models import MDLM, MaskGIT
from genjax.models.sampling_options import with_sampling
from tests.models.spread import KEY
from tests.tiers import full

pytestmark = pytest.mark.slow


class Fixed(nn.Module):
    """Gives each place the same logits, whatever it sees, plus those of a token it may copy."""

    shape: tuple[int, ...]
    vocab_size: int
    causal: bool = False

    @nn.compact
    def __call__(self, x):
        logits = self.param('logits', nn.initializers.normal(1.0), (*self.shape, self.vocab_size))
        return jnp.broadcast_to(logits, (*x.shape, self.vocab_size))


def test_the_bound_of_masked_diffusion_is_tight_for_independent_tokens():
    model = MDLM(Fixed((5,), 3), eval_samples=1000)
    x = jax.random.randint(KEY, (3, 5), 0, 3)
    variables = model.init(KEY, {'x': x})
    exact = jnp.take_along_axis(
        jax.nn.log_softmax(variables['params']['network']['logits'])[None], x[..., None], -1
    )[..., 0].sum(-1)
    bound = jax.jit(model.log_prob)(variables, x, KEY)
    assert bound.kind == 'lower_bound'
    np.testing.assert_allclose(bound.value, exact, atol=0.3)
    losses = jax.vmap(lambda key: model.phases[0].loss(variables, {'x': x}, key).values)(
        jax.random.split(KEY, 1000)
    )
    np.testing.assert_allclose(-np.mean(losses, 0), exact, atol=0.3)


@pytest.mark.parametrize('kind', [MDLM, MaskGIT])
@pytest.mark.parametrize('steps', [full(1), 6])
def test_masked_models_unmask_everything_and_follow_independent_tokens(kind, steps):
    model = with_sampling(kind(Fixed((5,), 3)), steps=steps)
    variables = model.init(KEY, {'x': jnp.zeros((1, 5), jnp.int32)})
    x = jax.jit(model.sample, static_argnums=2)(variables, KEY, 4000)
    assert int(jnp.max(x)) < 3
    if kind is MDLM or steps == 1:  # choosing by confidence sharpens
        want = jax.nn.softmax(variables['params']['network']['logits'])
        np.testing.assert_allclose(jax.nn.one_hot(x, 3).mean(0), want, atol=0.04)


def test_maskgit_loss_is_the_mean_over_masked_tokens():
    model = MaskGIT(Fixed((5,), 3))
    x = jnp.zeros((4, 5), jnp.int32)
    variables = {'params': {'network': {'logits': jnp.zeros((5, 3))}}, 'state': {}}
    values = model.phases[0].loss(variables, {'x': x}, KEY).values
    np.testing.assert_allclose(values, np.log(3), rtol=1e-6)
