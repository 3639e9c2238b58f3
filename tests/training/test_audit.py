"""Hashes of order and state are equal where, and only where, runs are bit for bit the same."""

import hashlib

import numpy as np
import pytest

from genjax.data.pipeline import train_batches
from genjax.data.sources import InMemorySource
from genjax.training import MeshShape, audit
from tests.models.zoo import BY_NAME
from tests.training.zoo_programs import start

pytestmark = pytest.mark.slow


def test_the_order_is_that_of_what_is_read():
    source = InMemorySource({'x': np.arange(10)})
    batches = train_batches(source, batch_size=4, seed=3)
    read = np.concatenate([next(batches)['x'] for _ in range(6)]).astype('<i8')
    assert audit.order_hash(3, 6, 4, 10) == hashlib.sha256(read.tobytes()).hexdigest()
    assert audit.order_hash(3, 5, 4, 10) != audit.order_hash(4, 5, 4, 10)


def test_devices_do_not_change_the_hash_of_a_state():
    entry = BY_NAME['vae']
    alone, spread = start(entry), start(entry, MeshShape(data=2, fsdp=4))
    assert audit.array_hashes(alone) == audit.array_hashes(spread)


def test_runs_are_compared(genjax, train, workdir, tmp_path):
    for folder, fields in {
        'run': {'steps': 2},
        'whole': {'steps': 4},
        'seed': {'steps': 4, 'seed': 1},
        'rate': {'steps': 4, 'optimizer__learning_rate': 0.02},
    }.items():
        assert train(workdir=tmp_path / folder, **fields)[0] == 0
    status, out, err = genjax('audit', workdir, tmp_path / 'whole')
    assert status == 2 and 'run is at step 2, ' in err and 'whole at step 4: give --step' in err
    assert train(steps=4)[0] == 0  # resumed
    status, out, err = genjax('audit', workdir, tmp_path / 'whole')
    assert (status, err) == (0, '')
    one, other = (line.split('step 4')[1] for line in out.splitlines())
    assert one == other
    status, out, err = genjax('audit', workdir, tmp_path / 'seed')
    assert status == 2 and err.endswith('differ in the order of their examples\n')
    status, out, err = genjax('audit', workdir, tmp_path / 'rate')
    assert status == 2 and 'arrays, the first is ' in err and err.count('\n') == 1
    assert (
        out.splitlines()[0].split('order ')[1][:16] == out.splitlines()[1].split('order ')[1][:16]
    )
