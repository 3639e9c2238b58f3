"""What a step keeps on each device."""

import jax
import pytest

from genjax.parallel import sharding
from genjax.training import MeshShape
from genjax.training.layout import bytes_per_device
from tests.models.zoo import BY_NAME, REPRESENTATIVES, every
from tests.training.zoo_programs import batch_of, programs_of, start, train

EIGHT = MeshShape(data=1, fsdp=8)


def nbytes(tree):
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))


@every(few=REPRESENTATIVES)
def test_the_step_writes_the_new_state_over_the_old_one(entry):
    """XLA's report of the compiled step: every byte that comes in, but for the batch, is the place
    of one that goes out. (Averages of what is replaced, such as spectral norms, are not read.)
    """
    programs = programs_of(entry)
    batch = sharding.place(batch_of(entry, 0), programs.batch_sharding)
    report = programs.step.lower(programs.state, batch).compile().memory_analysis()
    size = bytes_per_device(programs.state)
    assert 0 <= report.argument_size_in_bytes - report.alias_size_in_bytes <= nbytes(batch)
    assert 0.99 * size < report.alias_size_in_bytes <= size


@pytest.mark.full
def test_fsdp_leaves_each_device_its_share_of_the_state():
    programs = programs_of(BY_NAME['diffusion-dit'], EIGHT)
    state = start(BY_NAME['diffusion-dit'], EIGHT)
    state, _ = train(programs, state, [batch_of(BY_NAME['diffusion-dit'], 0)])
    leaves = [
        leaf
        for leaf in jax.tree.leaves(state)
        if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    ]
    whole = [leaf for leaf in leaves if leaf.is_fully_replicated]
    parted = [leaf for leaf in leaves if not leaf.is_fully_replicated]
    total = sum(leaf.nbytes for leaf in parted)
    assert total > 5 * sum(leaf.nbytes for leaf in whole)
    assert nbytes(parted) == total / 8
    assert nbytes(leaves) == bytes_per_device(leaves)
