"""Hashes of what determinism promises: the order of the examples, and the state."""

import hashlib

import jax
import numpy as np

from genjax.data.pipeline import batch_indices
from genjax.parallel.host import fetch
from genjax.training.run import Run
from genjax.training.state import TrainState
from genjax.training.weights import named


def order_hash(seed: int, step: int, batch_size: int, size: int) -> str:
    """Returns a hash of the numbers of the examples in each batch before `step`; arguments as of
    `batch_indices`. It does not depend on devices and processes.
    """
    seen = hashlib.sha256()
    for number in range(step):
        seen.update(batch_indices(seed, number, batch_size, size).astype('<i8').tobytes())
    return seen.hexdigest()


def array_hashes(state: TrainState) -> dict[str, str]:
    """Returns a hash of type, shape and bits of each array of a state, by path."""
    hashes = {}
    for path, leaf in named(state).items():
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.ascontiguousarray(fetch(leaf))
        seen = hashlib.sha256(f'{array.dtype} {array.shape} '.encode() + array.tobytes())
        hashes[path] = seen.hexdigest()
    return hashes


def audit(run: Run) -> tuple[str, dict[str, str]]:
    """Returns the `order_hash` of a run up to its step, and the `array_hashes` of its state."""
    experiment = run.experiment
    size = len(experiment.dataset.source('train'))
    order = order_hash(experiment.seed, run.step, experiment.rows_per_step, size)
    return order, array_hashes(run.state)


def whole(hashes: dict[str, str]) -> str:
    """Returns one hash of all arrays."""
    lines = '\n'.join(f'{path} {value}' for path, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
