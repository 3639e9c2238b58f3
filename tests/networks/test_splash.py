"""Splash attention, by Pallas's interpreter, against plain attention."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu import splash_attention as kernels
from jax.sharding import NamedSharding, PartitionSpec

from genjax.networks import splash
from genjax.networks.attention import attend
from genjax.networks.splash import attend_by_splash
from genjax.parallel.sharding import MeshShape
from tests.tiers import few

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    interpreted = functools.partial(kernels.make_splash_mha, interpret=True)
    monkeypatch.setattr(kernels, 'make_splash_mha', interpreted)
    monkeypatch.setattr(splash, 'BLOCK', 128)


def normal(*shapes, dtype='float32'):
    keys = jax.random.split(KEY, len(shapes))
    return [jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)]


@functools.partial(jax.jit, static_argnums=0)
def all_of(attend, q, k, v, weight):
    """The value, and gradients of a scalar."""

    def loss(q, k, v):
        out = attend(q, k, v).astype(jnp.float32)
        return jnp.sum(weight * jnp.sin(out)), out

    gradients, out = jax.grad(loss, (0, 1, 2), has_aux=True)(q, k, v)
    return (out, *gradients)


def check(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        a, b = (np.asarray(each, np.float32) for each in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


# Queries, keys, features, causal: blocks of 128; what follows is padding.
CASES = {
    'causal': (256, 256, 16, True),
    'causal and padded': (200, 200, 72, True),
    'more queries': (300, 130, 8, True),
    'whole': (256, 128, 16, False),
    'padded': (130, 300, 3, False),
}


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('case', few(list(CASES), ['causal and padded', 'padded']))
def test_it_is_plain_attention_with_its_gradients(case, dtype):
    queries, keys, features, causal = CASES[case]
    shapes = [(2, length, 2, features) for length in (queries, keys, keys, queries)]
    given = normal(*shapes, dtype=dtype)
    got = all_of(functools.partial(attend_by_splash, causal=causal), *given)
    assert got[1].dtype == dtype
    in_full = [each.astype(jnp.float32) for each in given]
    want = all_of(functools.partial(attend, causal=causal, kind='plain'), *in_full)
    check(got, want, 2e-6 if dtype == 'float32' else 2**-6)


@pytest.mark.parametrize('known', few(['by context', 'by arguments'], ['by context']))
def test_devices_share_examples_and_heads(known, monkeypatch):
    mesh, shapes, attend_here = MeshShape(data=2, fsdp=2, tensor=2).make(), set(), splash._attend

    def recorded(q, k, v, **options):
        shapes.add(q.shape)
        return attend_here(q, k, v, **options)

    def shared(q, k, v):
        assert splash.unshared(q) is None
        return attend_by_splash(q, k, v, causal=False)

    monkeypatch.setattr(splash, '_attend', recorded)
    layout = NamedSharding(mesh, PartitionSpec(('data', 'fsdp'), None, 'tensor'))
    given = normal(*[(4, 100, 2, 8)] * 4)
    abstract = jax.sharding.use_abstract_mesh(mesh.abstract_mesh)
    with abstract if known == 'by context' else contextlib.nullcontext():
        got = all_of(shared, *jax.device_put(given, layout))
    assert shapes == {(1, 100, 1, 8)}
    assert all(each.sharding.is_equivalent_to(layout, 4) for each in got)
    check(got, all_of(functools.partial(attend, causal=False, kind='plain'), *given), 2e-6)


def test_devices_repeat_what_they_do_not_divide():
    mesh = MeshShape(data=4, tensor=2).make()
    given = normal(*[(1, 40, 2, 8)] * 3)

    @jax.jit
    def repeated(q, k, v):
        reason = 'a batch of 1 and 2 heads over data=4 x fsdp=1 x tensor=2'
        assert splash.unshared(q) == reason
        return attend_by_splash(q, k, v, causal=True)

    got = repeated(*jax.device_put(given, NamedSharding(mesh, PartitionSpec())))
    check([got], [attend(*given, causal=True, kind='plain')], 2e-6)
