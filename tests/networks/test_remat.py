"""Values kept by name: what is recomputed, and what the compiled program holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.hardware.flops import flops_of
from genjax.networks import DiT, UNet

KEY = jax.random.key(0)
WIDTH, TOKENS, LAYERS, BATCH = 32, 64, 3, 4
NETWORK = DiT((16, 16, 1), 2, WIDTH, LAYERS, 2)
X, TIME = jax.random.normal(KEY, (BATCH, 16, 16, 1)), jnp.linspace(0.1, 0.9, BATCH)


def gradient_of(network):
    def loss(variables):
        return jnp.sum((network.apply(variables, X, TIME) - X) ** 2)

    return jax.grad(loss)


@pytest.fixture(scope='module')
def variables():
    variables = jax.jit(NETWORK.init)(KEY, X, TIME)
    return jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), variables)


def test_products_of_kept_values_are_not_recomputed(variables):
    """Of each layer and token: D x 3D for queries, keys and values, D x 4D for the MLP."""
    again = {
        remat: flops_of(gradient_of(NETWORK.clone(remat=remat)), variables).recomputed
        for remat in ('none', 'full', ('qkv',), ('qkv', 'mlp'))
    }
    product = 2 * BATCH * TOKENS * LAYERS * WIDTH * WIDTH
    assert again['none'] == 0
    assert again['full'] - again['qkv',] == 3 * product
    assert again['qkv',] - again['qkv', 'mlp'] == 4 * product


def test_the_compiled_program_holds_what_is_kept():
    """In a loop over layers; elsewhere XLA's CPU backend keeps what it would compute again."""
    network = NETWORK.clone(scan=True, num_layers=8)
    variables = jax.jit(network.init)(KEY, X, TIME)
    variables = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), variables)
    compiled = {
        remat: jax.jit(gradient_of(network.clone(remat=remat))).lower(variables).compile()
        for remat in ('none', 'full', ('qkv',))
    }
    sizes = {r: c.memory_analysis().temp_size_in_bytes for r, c in compiled.items()}
    kept = 4 * BATCH * TOKENS * 8 * 3 * WIDTH
    assert sizes['qkv',] - sizes['full'] == pytest.approx(kept, rel=0.1)
    assert sizes['qkv',] < sizes['none'] / 4
    want = jax.tree.leaves(compiled['none'](variables))
    for program in compiled.values():
        for a, b in zip(jax.tree.leaves(program(variables)), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * float(jnp.abs(b).max()))


def test_what_is_kept_on_the_host_goes_there_and_back(variables):
    """Once in each layer."""
    jaxpr = jax.make_jaxpr(gradient_of(NETWORK.clone(remat=('qkv', 'mlp@host'))))(variables).jaxpr
    moves = [e for e in jaxpr.eqns if e.primitive.name == 'device_put']
    assert [e.params['devices'][0] for e in moves] == LAYERS * [jax.memory.Space.Host]
    assert {move.invars[0].aval.shape for move in moves} == {(BATCH, TOKENS, 4 * WIDTH)}
    assert (
        str(jaxpr).count(' device_put[') == 2 * LAYERS
    )  # back within the computation of gradients


def test_unknown_names_are_one_line():
    network = UNet((8, 8, 1), (4, 8), 1, groups=2, remat=('convolutions',))
    with pytest.raises(UserError, match=r"remat=\('convolutions',\): .*did you mean 'convolution'"):
        network.init(KEY, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))
