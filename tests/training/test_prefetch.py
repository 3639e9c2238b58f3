"""Batches reach the devices in order, unchanged, and before they are asked for."""

import itertools

import jax
import numpy as np
import pytest

from genjax.data import train_batches
from genjax.parallel import sharding
from genjax.parallel.sharding import MeshShape
from genjax.training.prefetch import feed
from tests.training import tiny


class Counted:
    """An iterator that counts how often it was asked."""

    def __init__(self, iterator):
        self.asked, self._iterator = 0, iterator

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        return next(self._iterator)


def batches(count=None):
    endless = train_batches(tiny.Blots().source('train'), batch_size=16, seed=2)
    return itertools.islice(endless, count)


@pytest.mark.parametrize('steps', [1, 3])
def test_calls_are_the_batches_in_order_and_the_next_is_on_its_way(steps):
    mesh = MeshShape().make()
    layout = sharding.rows(mesh, leading=steps > 1)
    source = Counted(batches())
    with jax.transfer_guard('disallow'):
        calls = feed(source, layout, steps)
        for number in range(4):
            call = next(calls)
            assert source.asked == steps * (number + 2)
            assert all(array.sharding == layout for array in call.values())
            parts = list(itertools.islice(batches(), number * steps, (number + 1) * steps))
            want = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
            for name, array in jax.device_get(call).items():
                assert array.dtype == want[name].dtype
                np.testing.assert_array_equal(array, want[name] if steps > 1 else want[name][0])


def test_the_last_batch_is_not_lost():
    layout = sharding.rows(MeshShape().make())
    fed = [jax.device_get(call['x']) for call in feed(batches(5), layout)]
    np.testing.assert_array_equal(fed, [batch['x'] for batch in batches(5)])
