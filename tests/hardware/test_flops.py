"""Counts of operations against closed forms."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax.sharding import AxisType, PartitionSpec

from genjax.hardware.flops import Flops, flops_of
from genjax.networks import DiT
from genjax.networks.splash import attend_by_splash
from tests.tiers import full


def normal(*shape):
    return jax.random.normal(jax.random.key(0), shape)


def gradient(function):
    return jax.grad(lambda *args: jnp.sum(function(*args) ** 2), argnums=(0, 1))


def dense(w, x):
    return x @ w


def test_a_product_is_two_operations_to_a_multiply_add_and_its_gradient_two_more_products():
    w, x = normal(5, 7), normal(3, 5)
    forward = 2 * 3 * 5 * 7
    assert flops_of(dense, w, x) == Flops(forward)
    assert flops_of(gradient(dense), w, x) == Flops(3 * forward)
    assert flops_of(jax.jit(dense), w, x) == Flops(forward)


def test_batched_products():
    a, b = normal(2, 6, 3, 5), normal(2, 6, 5, 4)
    assert flops_of(lambda a, b: jnp.einsum('bhts,bhsd->bthd', a, b), a, b).model == (
        2 * (2 * 6) * 3 * 5 * 4
    )


@pytest.mark.parametrize(
    ('stride', 'kernel', 'groups'), [(1, 3, 1), (2, 4, 1), (2, 3, 1), (1, 3, 4)]
)
def test_a_convolution_and_its_gradients(stride, kernel, groups):
    def conv(w, x):
        return jax.lax.conv_general_dilated(
            x, w, (stride, stride), 'SAME', feature_group_count=groups,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )  # fmt: skip

    x, w = normal(2, 8, 8, 4), normal(kernel, kernel, 4 // groups, 12)
    forward = 2 * (2 * (8 // stride) ** 2 * 12) * kernel**2 * (4 // groups)
    assert flops_of(conv, w, x) == Flops(forward)
    # The gradient of a strided convolution has holes, which are no work.
    both = flops_of(gradient(conv), w, x).model
    assert both == pytest.approx(3 * forward, rel=0.15 if stride > 1 and kernel % 2 else 0)


def test_a_transposed_convolution_is_its_kernel_at_each_place_of_the_input():
    x = normal(2, 8, 8, 3)
    module = nn.ConvTranspose(5, (4, 4), (2, 2))
    variables = module.init(jax.random.key(0), x)
    assert flops_of(module.apply, variables, x).model == 2 * (2 * 8 * 8) * (4 * 4) * 3 * 5


def layer(x, w):
    return jnp.tanh(x @ w), None


@pytest.mark.parametrize('function', [lambda f: f, gradient], ids=['forward', 'gradient'])
@pytest.mark.parametrize('wrap', [lambda f: f, jax.checkpoint], ids=['kept', 'remat'])
def test_a_loop_counts_as_if_written_out(function, wrap):
    body = wrap(layer)

    def scanned(w, x):
        return jax.lax.scan(body, x, w)[0]

    def unrolled(w, x):
        for i in range(4):
            x, _ = body(x, w[i])
        return x

    w, x = normal(4, 6, 6), normal(3, 6)
    assert flops_of(function(scanned), w, x) == flops_of(function(unrolled), w, x)


def two_layers(w, x):
    return jnp.sin(x @ w[0]) @ w[1]


@pytest.mark.parametrize(
    ('policy', 'again'),
    [
        (None, 1),  # the last product is not needed once more
        (jax.checkpoint_policies.dots_saveable, 0),
    ],
)
def test_what_is_computed_again_is_no_work_of_the_model(policy, again):
    w, x = normal(2, 5, 5), normal(3, 5)
    plain = flops_of(gradient(two_layers), w, x)
    remat = flops_of(gradient(jax.checkpoint(two_layers, policy=policy)), w, x)
    assert plain == Flops(3 * 2 * (2 * 3 * 5 * 5))
    assert remat == Flops(plain.model, again * 2 * 3 * 5 * 5)
    assert remat.hardware == plain.model + remat.recomputed


def test_what_no_result_needs_is_no_work():
    x = normal(4, 4)
    assert flops_of(lambda x: [x @ x, x][1], x) == Flops()


def test_a_choice_counts_as_its_largest_branch():
    x = normal(4, 4)
    count = flops_of(lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x), x)
    assert count == Flops(2 * 2 * 4**3)


def test_a_loop_of_unknown_length_is_counted_once_and_said():
    x = normal(4, 4)
    count = flops_of(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x), x)
    assert count.model == 2 * 4**3
    assert 'unknown length' in ' '.join(count.uncounted)
    assert not flops_of(
        lambda x: jax.lax.while_loop(lambda i: i < 9, lambda i: i + 1, x), 0.0
    ).uncounted


def test_custom_derivatives_count():
    @jax.custom_vjp
    def square(w, x):
        return dense(w, x)

    square.defvjp(lambda w, x: (dense(w, x), (w, x)), lambda r, g: (r[1].T @ g, g @ r[0].T))
    w, x = normal(5, 5), normal(3, 5)
    assert flops_of(gradient(square), w, x) == flops_of(gradient(dense), w, x)


def test_work_that_is_written_for_each_device_counts_for_all():
    mesh = jax.make_mesh((4, 2), ('a', 'b'), axis_types=(AxisType.Auto,) * 2)
    shares = PartitionSpec(('a', 'b'))
    spread = jax.shard_map(
        lambda x, w: x @ w, mesh=mesh, in_specs=(shares, PartitionSpec()), out_specs=shares
    )
    x, w = normal(16, 3), normal(3, 5)
    assert flops_of(spread, x, w) == flops_of(lambda x, w: x @ w, x, w)


def test_a_kernel_counts_for_each_cell_of_its_grid():
    from jax.experimental import pallas as pl

    def kernel(x, w, out):
        out[...] = x[...] @ w[...]

    multiply = pl.pallas_call(
        kernel,
        jax.ShapeDtypeStruct((32, 16), jnp.float32),
        grid=(4,),
        in_specs=[
            pl.BlockSpec((8, 24), lambda i: (i, 0)),
            pl.BlockSpec((24, 16), lambda i: (0, 0)),
        ],
        out_specs=pl.BlockSpec((8, 16), lambda i: (i, 0)),
    )
    assert flops_of(multiply, normal(32, 24), normal(24, 16)) == Flops(2 * 32 * 24 * 16)


def test_attention_of_cudnn_counts_like_that_of_xla(monkeypatch):
    attention = jax.nn.dot_product_attention
    monkeypatch.setattr(
        'jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version', lambda: 91000
    )
    monkeypatch.setattr(
        'jax._src.cudnn.fused_attention_stablehlo.check_compute_capability', lambda _: True
    )
    monkeypatch.setattr(
        'jax._src.cudnn.fused_attention_stablehlo.check_is_flash_attention', lambda *_, **__: None
    )
    q, k = (jax.ShapeDtypeStruct((2, n, 4, 64), 'bfloat16') for n in (128, 256))

    def run(implementation):
        def loss(q, k, v):
            return jnp.sum(
                attention(q, k, v, implementation=implementation).astype(jnp.float32) ** 2
            )

        return flops_of(jax.grad(loss, argnums=(0, 1, 2)), q, k, k)

    xla, cudnn = run('xla'), run('cudnn')
    assert xla == Flops(3 * 4 * 2 * 4 * 128 * 256 * 64)
    assert cudnn == Flops(xla.model, 2 * 2 * 4 * 128 * 256 * 64)


@pytest.mark.parametrize('causal', [False, full(True)])
def test_splash_attention_counts_like_that_of_xla(causal):
    """Its logits are computed three times, and the gradient of the weights twice."""
    q = jax.ShapeDtypeStruct((2, 1024, 4, 64), 'bfloat16')

    def loss(q, k, v):
        out = attend_by_splash(q, k, v, causal=causal)
        return jnp.sum(out.astype(jnp.float32) ** 2)

    counted = flops_of(jax.grad(loss, argnums=(0, 1, 2)), q, q, q)
    product, rows = 2 * 2 * 4 * 1024 * 1024 * 64, 2 * 2 * 4 * 1024 * 64  # values with gradients
    assert counted == Flops(6 * product + rows, 3 * product)


def forward(network, *args):
    variables = jax.eval_shape(network.init, jax.random.key(0), *args)
    return flops_of(network.apply, variables, *args)


def test_dit_xl2_does_the_work_that_its_paper_states():
    """118.6 thousand million multiply-adds a picture (Peebles & Xie, 2023, table 4)."""
    network = DiT(
        (32, 32, 4), patch=2, features=1152, num_layers=28, num_heads=16, num_classes=1000,
        out_channels=8, scan=True,
    )  # fmt: skip
    x = jax.ShapeDtypeStruct((1, 32, 32, 4), 'float32')
    time, label = jax.ShapeDtypeStruct((1,), 'float32'), jax.ShapeDtypeStruct((1,), 'int32')
    assert forward(network, x, time, label).model == pytest.approx(2 * 118.64e9, rel=0.02)
