"""Transfers of programs whose transfers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax.planning.collectives import Collective, _crossing, _groups, collectives_of

F32 = 4


def mesh_of(*shape):
    return jax.make_mesh(shape, ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2)


def read(function, shardings, *shapes, server=None):
    args = [
        jax.ShapeDtypeStruct(shape, 'float32', sharding=s)
        for shape, s in zip(shapes, shardings, strict=True)
    ]
    hlo = jax.jit(function, out_shardings=shardings[0]).lower(*args).compile().as_text()
    found, notes = collectives_of(hlo, server=server)
    assert not notes
    return {c.kind: c for c in found}


def descend(loss):
    return lambda w, x: w - jax.grad(lambda w: jnp.mean(loss(w, x) ** 2))(w)


def test_data_parallel_training_reduces_the_gradient_once():
    mesh = mesh_of(8, 1)
    shardings = NamedSharding(mesh, P()), NamedSharding(mesh, P('data'))
    found = read(descend(lambda w, x: x @ w), shardings, (512, 256), (64, 512))
    assert list(found) == ['all-reduce']
    assert found['all-reduce'].bytes == 2 * 7 * 512 * 256 * F32 // 8


def test_a_loop_counts_as_often_as_it_turns():
    mesh = mesh_of(1, 8)
    shardings = NamedSharding(mesh, P(None, None, 'fsdp')), NamedSharding(mesh, P('fsdp'))

    def forward(w, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    def keep(w, x):  # a result that lies like the weights
        return w + jnp.sum(forward(w, x))

    found = read(keep, shardings, (6, 256, 256), (4096, 256))
    assert found['all-gather'].count == 6
    assert found['all-gather'].bytes == 6 * 7 * 256 * 256 * F32 // 8


def test_one_device_sends_nothing():
    mesh = jax.make_mesh((1, 1), ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2)
    shardings = NamedSharding(mesh, P()), NamedSharding(mesh, P('data'))
    assert read(descend(lambda w, x: x @ w), shardings, (8, 8), (4, 8)) == {}


ADD = """
%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}
"""


def entry(*lines):
    body = '\n'.join(f'  {line}' for line in lines)
    x = '%x = f32[64,8]{1,0:T(8,128)} parameter(0)'
    return f'ENTRY %main (x: f32[64,8]) -> f32[64,8] {{\n  {x}\n{body}\n}}\n'


@pytest.mark.parametrize(
    ('groups', 'size'),
    [
        ('{{0,1,2,3},{4,5,6,7}}', 4),
        ('[2,4]<=[8]', 4),
        ('[4,2]<=[2,4]T(1,0)', 2),
        ("mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", 4),
        ("mesh['axis_0'=4,'axis_1'=2], device_ids=([2,4]T(1,0)) {'axis_0','axis_1'}", 8),
        ("mesh['axis_0'=8] {'axis_0':(1)2}", 2),
    ],
)
def test_the_ways_to_write_groups(groups, size):
    hlo = ADD + entry(
        f'ROOT %r = f32[64,8]{{1,0}} all-reduce(%x), channel_id=1, replica_groups={groups},'
        ' use_global_device_ids=true, to_apply=%add'
    )
    ((reduce,), _) = collectives_of(hlo)
    assert reduce.bytes == 2 * (size - 1) * 64 * 8 * F32 // size


def test_a_reduction_of_which_each_keeps_its_part_scatters():
    """How TPUs write reduce-scatter."""
    hlo = (
        ADD
        + """
%all-reduce-scatter.5 (input: f32[64,8]) -> f32[16,8] {
  %input = f32[64,8]{1,0:T(8,128)} parameter(0)
  %all-reduce.6 = f32[64,8]{1,0} all-reduce(%input), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %part = f32[16,8]{1,0} dynamic-slice(%all-reduce.6, %i, %i), dynamic_slice_sizes={16,8}
}
"""
        + entry('ROOT %f = f32[16,8]{1,0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.5')
    )
    assert collectives_of(hlo)[0] == (Collective('reduce-scatter', 1, 3 * 64 * 8 * F32 // 4),)


def test_what_is_asynchronous_counts_once():
    gather = (
        'all-gather-start(%x), channel_id=7, replica_groups={{0,1}}, dimensions={0},'
        ' use_global_device_ids=true'
    )
    hlo = entry(
        f'%s = (f32[64,8]{{1,0}}, f32[128,8]{{1,0}}) {gather}',
        f'%again = (f32[64,8]{{1,0}}, f32[128,8]{{1,0}}) {gather}',
        'ROOT %d = f32[128,8]{1,0} all-gather-done(%s)',
    )
    assert collectives_of(hlo)[0] == (Collective('all-gather', 1, 64 * 8 * F32),)


def test_loops_of_tpus_say_their_length_in_their_condition():
    loop = """
%body (t: (s32[], f32[64,8])) -> (s32[], f32[64,8]) {
  %t = (s32[]{:T(128)}, f32[64,8]{1,0}) parameter(0)
  %x = f32[64,8]{1,0} get-tuple-element(%t), index=1
  %p = f32[64,8]{1,0} collective-permute(%x), channel_id=3, source_target_pairs={{0,1},{1,0}}
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  %two = s32[]{:T(128)} constant(2)
  %next = s32[]{:T(128)} add(%i, %two), control-predecessors={%p}
  ROOT %r = (s32[], f32[64,8]{1,0}) tuple(%next, %p)
}

%condition (t: (s32[], f32[64,8])) -> pred[] {
  %twelve = s32[]{:T(128)} constant(12), metadata={op_name="a"}
  %t.2 = (s32[]{:T(128)}, f32[64,8]{1,0}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%t.2), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.2, %twelve), direction=LT
}
"""
    hlo = loop + entry(
        '%two = s32[]{:T(128)} constant(2)',
        '%start = s32[]{:T(128)} copy(%two)',
        '%t = (s32[], f32[64,8]{1,0}) tuple(%start, %x)',
        '%w = (s32[], f32[64,8]{1,0}) while(%t), condition=%condition, body=%body',
    )
    expected = Collective('collective-permute', 5, 5 * 64 * 8 * F32)  # 2, 4, 6, 8, 10
    assert collectives_of(hlo) == ((expected,), frozenset())
    unknown = hlo.replace('direction=LT', 'direction=NE')
    found, notes = collectives_of(unknown)
    assert found[0].count == 1
    assert 'unknown length' in ' '.join(notes)


def test_what_goes_to_other_slices_goes_over_the_network():
    hlo = entry(
        '%t = token[] after-all()',
        '%s = (f32[64,8]{1,0}, u32[], token[]) send(%x, %t), channel_id=6, is_host_transfer=true,'
        ' frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",'
        '_xla_megascale_transfer_type="ALL_REDUCE"}',
        'ROOT %d = token[] send-done(%s), channel_id=6, is_host_transfer=true,'
        ' frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}',
    )
    ((sent,), _) = collectives_of(hlo, slices=4)
    assert sent == Collective('dcn all-reduce', 1, 2 * 3 * 64 * 8 * F32 // 4)
    assert sent.between_slices


@pytest.mark.parametrize(
    ('axis', 'between'),
    # Of eight devices in two servers of four; of four rows, in pairs within a server; of two
    # columns of four, each in both servers.
    [(('data', 'fsdp'), 1 / 7), ('fsdp', 0.0), ('data', 1 / 3)],
)
def test_what_crosses_between_servers(axis, between):
    """A reduction among n devices in m servers sends 2 (m - 1) / n of the array between them."""
    mesh = mesh_of(4, 2)
    shardings = NamedSharding(mesh, P()), NamedSharding(mesh, P(axis))
    found = read(descend(lambda w, x: x @ w), shardings, (512, 256), (64, 512), server=4)
    size = {'fsdp': 2, 'data': 4}.get(axis, 8)
    whole = 2 * (size - 1) * 512 * 256 * F32 // size
    sent = {kind: c.bytes for kind, c in found.items()}
    assert sum(sent.values()) == whole
    assert sent.get('dcn all-reduce', 0) == pytest.approx(between * whole, abs=1)


@pytest.mark.parametrize(
    ('attributes', 'groups'),
    [
        ('replica_groups={{0,2},{1,3}}, to_apply', [[0, 2], [1, 3]]),
        ('source_target_pairs={{0,1},{1,0}}', [[0, 1], [1, 0]]),
        ('replica_groups=[2,2]<=[4]', [[0, 1], [2, 3]]),
        ('replica_groups=[2,2]<=[2,2]T(1,0), dimensions', [[0, 2], [1, 3]]),
        ("replica_groups=mesh['data'=2,'fsdp'=2] {'data'}", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['data'=8] {'data':(2)2}", [[0, 2], [1, 3], [4, 6], [5, 7]]),
        (
            "replica_groups=mesh['a'=2,'b'=1,'c'=4], device_ids=([4,2]T(1,0)) {'a'}, to_apply",
            [[0, 1], [2, 3], [4, 5], [6, 7]],
        ),
        ('channel_id=1', [[0]]),
    ],
)
def test_groups_of_devices_are_read(attributes, groups):
    assert _groups(attributes).tolist() == groups


def test_transfers_of_pairs_and_of_all_to_all_cross_as_their_devices_do():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    assert _crossing('collective-permute', pairs, 2) == 0.5
    assert _crossing('all-to-all', np.arange(8)[None], 4) == 4 / 7
    assert _crossing('all-to-all', np.arange(8)[None], None) == 0
