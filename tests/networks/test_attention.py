"""Attention in chunks of keys against softmax attention written out, and the choice of a kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models import DiffusionModel, MeanFlow
from genjax.models.diffusion import DiscreteVP, Epsilon
from genjax.networks import DiT, attention
from genjax.networks.attention import attend, attend_in_chunks
from genjax.parallel.sharding import MeshShape
from tests.tiers import few, full

KEY = jax.random.key(0)


def expected(q, k, v, mask):
    """Written out for [B, T, heads, D]."""
    logits = jnp.einsum('bthd,bshd->bhts', q, k) / q.shape[-1] ** 0.5
    return jnp.einsum('bhts,bshd->bthd', jax.nn.softmax(jnp.where(mask, logits, -1e30)), v)


def prefix(length, given):
    """Causal, but all see the first elements."""
    return np.tri(length, dtype=bool) | (np.arange(length) < given)


# Queries, keys, causal, mask; chunks of 4: whole ones, padded ones, and one alone.
CASES = {
    'whole': (8, 8, False, None),
    'padded': (5, 7, False, None),
    'one': (3, 2, False, None),
    'causal': (9, 9, True, None),
    'prefix': (9, 9, False, prefix(9, 3)),
    'by example': (6, 7, False, np.arange(7) < np.array([2, 7])[:, None, None, None]),
    'causal and masked': (6, 6, True, np.arange(6) != 1),
    'nothing': (3, 7, False, np.arange(3)[:, None] != np.zeros(7)),
}


@pytest.mark.parametrize(
    'case', few(list(CASES), ['padded', 'prefix', 'by example', 'causal and masked', 'nothing'])
)
def test_chunks_are_softmax_attention_with_derivatives_of_both_modes(case, monkeypatch):
    monkeypatch.setattr(attention, 'CHUNK', 4)
    queries, keys, causal, mask = CASES[case]
    shapes = [(2, n, 2, 3) for n in (queries, keys, keys)]
    q, k, v, *tangents = (
        2.0 * jax.random.normal(key, shape)
        for key, shape in zip(jax.random.split(KEY, 6), shapes * 2, strict=True)
    )
    allowed = np.ones((queries, keys), bool) if mask is None else mask
    allowed = allowed & np.tri(queries, keys, dtype=bool) if causal else allowed
    given = None if mask is None else jnp.asarray(mask)
    ours = functools.partial(attend, causal=causal, mask=given, kind='chunked')
    theirs = functools.partial(expected, mask=allowed)

    @functools.partial(jax.jit, static_argnums=0)
    def all_of(attend, primals, tangents):
        value, slope = jax.jvp(attend, primals, tangents)

        def loss(*primals):
            out, slope = jax.jvp(attend, primals, tangents)
            return jnp.sum(jnp.sin(out) + slope**2)

        gradient = jax.grad(lambda *p: jnp.sum(jnp.sin(attend(*p))), (0, 1, 2))
        return value, slope, gradient(*primals), jax.grad(loss, (0, 1, 2))(*primals)

    got, want = (all_of(each, (q, k, v), tuple(tangents)) for each in (ours, theirs))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max() + 1))


def temporaries(attend, length):
    """Bytes of a gradient of a Jacobian-vector product over sequences of a length."""
    x = jax.ShapeDtypeStruct((1, 1, length, 16), jnp.float32)

    def loss(x):
        return jnp.sum(jax.jvp(lambda x: attend(x, x, x), (x,), (x,))[1] ** 2)

    return jax.jit(jax.grad(loss)).lower(x).compile().memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_length_not_its_square(monkeypatch):
    monkeypatch.setattr(attention, 'CHUNK', 64)
    for kind, least, most in (
        (attend_in_chunks, 1.8, 2.2),
        (attention.attend_by_head, 3.5, 4.1),
    ):
        short, long = (temporaries(kind, n) for n in (1024, 2048))
        assert least < long / short < most


def chosen(kind='auto', dtype='bfloat16', features=64, keys=16, mask=None):
    q = jax.ShapeDtypeStruct((1, keys, 1, features), dtype)
    with attention.recorded() as kinds:
        attention._choice(kind, q, q, mask)
    return kinds.pop()


def test_the_choice_and_its_reason(monkeypatch):
    assert chosen() == 'plain (16 keys; not cuDNN: on a CPU)'
    assert chosen(keys=2048) == 'chunked (2,048 keys; not cuDNN: on a CPU)'
    assert chosen('chunked') == 'chunked (as configured)'
    with pytest.raises(UserError, match=r"attention='cudnn' cannot compute this \(on a CPU\)"):
        chosen('cudnn')
    with pytest.raises(
        UserError, match="attention='flash' is none of auto, plain, chunked, cudnn, splash"
    ):
        chosen('flash')
    monkeypatch.setattr(attention, '_platform', lambda q: 'gpu')
    assert chosen() == 'cudnn (bfloat16 on a GPU)'
    assert chosen(dtype='float32') == 'plain (16 keys; not cuDNN: float32)'
    assert chosen(features=12) == 'plain (16 keys; not cuDNN: heads of 12 features)'
    assert chosen(mask=True) == 'plain (16 keys; not cuDNN: a mask)'
    with attention.unfused():
        assert chosen() == 'plain (16 keys; not cuDNN: forward-mode or second derivatives)'
    assert chosen() == 'cudnn (bfloat16 on a GPU)'


def test_the_choice_on_a_tpu(monkeypatch):
    monkeypatch.setattr(attention, '_platform', lambda q: 'tpu')
    why = 'not splash: several devices without a mesh'
    assert chosen(keys=2048) == f'chunked (2,048 keys; {why})'
    with jax.sharding.use_abstract_mesh(MeshShape(data=8).make().abstract_mesh):
        why = 'not splash: a batch of 1 and 1 heads over data=8 x fsdp=1 x tensor=1'
        assert chosen(keys=2048) == f'chunked (2,048 keys; {why})'
    monkeypatch.setattr(jax, 'device_count', lambda: 1)
    assert chosen(keys=2048) == 'splash (bfloat16 on a TPU)'
    assert chosen(keys=1024) == 'plain (1,024 keys)'
    assert chosen('splash') == 'splash (as configured)'
    for given, why in (
        ({'dtype': 'float16'}, 'float16'),
        ({'features': 264}, 'heads of 264 features'),
        ({'mask': True}, 'a mask'),
    ):
        assert chosen(keys=2048, **given) == f'chunked (2,048 keys; not splash: {why})'
        with pytest.raises(UserError, match=rf"attention='splash' cannot compute this \({why}\)"):
            chosen('splash', **given)
    with attention.unfused():
        why = 'not splash: forward-mode or second derivatives'
        assert chosen(keys=2048) == f'chunked (2,048 keys; {why})'


def of_mean_flow(network):
    return MeanFlow(network), lambda model, *given: model.phases[0].loss(*given)


def of_likelihood(network):
    model = DiffusionModel(network, DiscreteVP(), Epsilon())
    return model, lambda model, variables, batch, key: model.log_prob(variables, batch['x'], key)


@pytest.mark.parametrize('of', [of_mean_flow, full(of_likelihood)])
def test_models_that_need_forward_mode_leave_out_cudnn(of, monkeypatch):
    """Derivatives of cuDNN's attention raise an error when traced, on any device."""
    model, use = of(DiT((4, 4, 1), 2, 16, 1, 2, dtype='bfloat16'))
    batch = {'x': jnp.zeros((2, 4, 4, 1))}
    variables = jax.eval_shape(model.init, KEY, batch)
    monkeypatch.setattr(attention, '_platform', lambda q: 'gpu')
    with attention.recorded() as kinds:
        jax.eval_shape(lambda v: use(model, v, batch, KEY), variables)
    assert kinds == {'plain (4 keys; not cuDNN: forward-mode or second derivatives)'}


@pytest.mark.full
def test_networks_are_the_same_with_any_kind(monkeypatch):
    monkeypatch.setattr(attention, 'CHUNK', 3)
    x, time = jax.random.normal(KEY, (2, 4, 4, 1)), jnp.array([0.2, 0.7])
    network = DiT((4, 4, 1), 2, 16, 2, 2, scan=True, remat='full')
    variables = network.init(KEY, x, time)
    variables = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(KEY, a.shape), variables)
    plain, chunked = (
        jax.jit(jax.value_and_grad(lambda v, n=n: jnp.sum(n.apply(v, x, time) ** 2)))(variables)
        for n in (network, network.clone(attention='chunked'))
    )
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(chunked), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5 * float(jnp.abs(a).max()))
