"""Runs an exported model; needs jax and numpy only.

from load import log_prob, sample

x = sample(16, seed=0)
"""

import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

_HERE = Path(__file__).resolve().parent
if str(_HERE) not in sys.path:
    sys.path.append(str(_HERE))  # has the library flatbuffers, unless it is installed

CARD = json.loads((_HERE / 'card.json').read_text('utf-8'))


def sample(num: int, *, seed: int = 0, label: Any = None, batch_size: int = 256) -> np.ndarray:
    """Draws samples [num, *event] in the range of the data; sample `i` depends only on the seed,
    `i` and its label.

    Args:
        num: number of samples.
        seed: random seed.
        label: class of all samples, or one per sample [num]; None: all classes in turn.
        batch_size: samples per batch; limits memory.
    """
    classes, rows = CARD['data']['num_classes'], {}
    if classes is not None:
        label = np.arange(num) % classes if label is None else np.broadcast_to(label, num)
        rows = {'label': label.astype(np.int32)}
    elif label is not None:
        raise ValueError('this model learned no labels: sample without one')
    return _run('sample', num, seed, rows, batch_size)


def log_prob(x: np.ndarray, *, seed: int = 0, batch_size: int = 256) -> np.ndarray:
    """Computes the log-probability [N] in nats of examples x [N, *event] as stored; its kind is
    `CARD['programs']['log_prob']['kind']`.
    """
    x = np.asarray(x).astype(CARD['data']['example']['x'][1])
    return _run('log_prob', len(x), seed, {'x': x}, batch_size)


def _run(
    name: str, num: int, seed: int, rows: Mapping[str, np.ndarray], batch_size: int
) -> np.ndarray:
    """Runs a program on batches of one size; the last one is filled up."""
    if name not in CARD['programs']:
        raise ValueError(f'a {CARD["model"]} has no {name}')
    size = CARD['programs'][name]['batch'] or min(num, batch_size)
    parts = []
    for start in range(0, num, size):
        index = np.arange(start, start + size, dtype=np.uint32)
        given = {name: np.resize(a[start : start + size], (size, *a.shape[1:]))
                 for name, a in rows.items()}  # fmt: skip
        parts.append(np.asarray(_program(name)(_weights(), np.uint32(seed), index, given)))
    return np.concatenate(parts)[:num]


@functools.cache
def _weights() -> dict[str, jax.Array]:
    with np.load(_HERE / 'weights.npz') as file:
        return jax.device_put(dict(file))


@functools.cache
def _program(name: str) -> Any:
    exported = export.deserialize(bytearray((_HERE / f'{name}.jaxexport').read_bytes()))
    return jax.jit(exported.call)
