"""Models of p(x | c) of a world that is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.conditions.run import missed
from genjax.data import ConditionalGaussian
from genjax.models import Flow
from genjax.models.flow import Autoregressive
from genjax.networks import MaskedMLP

pytestmark = pytest.mark.slow


def test_a_linear_flow_finds_the_distribution_and_shuffled_contexts_cost_the_information():
    """Without hidden layers the flow can be N(A c, S) exactly."""
    model = Flow(Autoregressive(MaskedMLP(())), (2,), context_shape=(2,))
    key, optimizer = jax.random.key(0), optax.adam(0.03)

    @jax.jit
    def fitted(batch):
        def step(carry, _):
            params, state = carry
            loss = lambda p: jnp.mean(model._loss({'params': p, 'state': {}}, batch, key).values)  # noqa: E731
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        params = model.init(key, batch)['params']
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=400)
        return {'params': params, 'state': {}}

    @jax.jit
    def nll(variables, batch):
        found = model.log_prob(variables, batch['x'], key, context=batch['context'])
        return -jnp.mean(found.value)

    def rows(split, shuffled):
        return ConditionalGaussian(10_000, shuffled).source(split)[np.arange(10_000)]

    world, test = ConditionalGaussian(10_000), rows('test', False)
    found = nll(fitted(rows('train', False)), test)
    exact = -float(jnp.mean(world.log_prob(test['x'], test['context'])))
    assert found == pytest.approx(exact, abs=0.003)
    shuffled = nll(fitted(rows('train', True)), rows('test', True))
    assert shuffled - found == pytest.approx(world.information, abs=0.05)
    assert world.information > 0.8


@pytest.mark.full
def test_the_gates_of_the_study(tmp_path):
    flow, shuffled = (missed(name, 0, tmp_path) for name in ('flow', 'flow_shuffled'))
    assert flow['kl'] < 0.02
    cost = shuffled['nll'] - flow['nll']
    assert cost == pytest.approx(ConditionalGaussian().information, abs=0.05)
    assert missed('flow_matching', 0, tmp_path)['kl'] < 0.05
    assert missed('vae', 0, tmp_path)['kl'] < 0.1
