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


def sample(
    num: int, *, seed: int = 0, label: Any = None, context: Any = None, batch_size: int = 256
) -> np.ndarray:
    """Draws samples [num, *event] in the range of the data; sample `i` depends only on the seed,
    `i` and its condition.

    Args:
        num: number of samples.
        seed: random seed.
        label: class of all samples, or one per sample [num]; None: all classes in turn.
        context: context of all samples [*context_shape], or one per sample [num, *context_shape].
        batch_size: samples per batch; limits memory.
    """
    classes = CARD['data']['num_classes']
    if classes is not None and label is None:
        label = np.arange(num) % classes
    return _run('sample', num, seed, _conditions(num, label, context), batch_size)


def log_prob(
    x: np.ndarray, *, seed: int = 0, label: Any = None, context: Any = None, batch_size: int = 256
) -> np.ndarray:
    """Computes the log-probability [N] in nats of examples x [N, *event] as stored, given a label
    or context if there is one; its kind is that of the program in `CARD['programs']`.
    """
    x = np.asarray(x).astype(CARD['data']['example']['x'][1])
    given = _conditions(len(x), label, context)
    name = 'log_prob_given' if given else 'log_prob'
    return _run(name, len(x), seed, {'x': x, **given}, batch_size)


def _conditions(num: int, label: Any, context: Any) -> dict[str, np.ndarray]:
    """Conditions [num, ...] by name."""
    found = {}
    for name, value in (('label', label), ('context', context)):
        if value is None:
            continue
        shape = CARD['conditions'].get(name)
        if shape is None:
            raise ValueError(f'this {CARD["model"]} learned no {name}s: leave the {name} out')
        dtype = np.int32 if name == 'label' else np.float32
        found[name] = np.broadcast_to(np.asarray(value), (num, *shape)).astype(dtype)
    return found


def _run(
    name: str, num: int, seed: int, rows: Mapping[str, np.ndarray], batch_size: int
) -> np.ndarray:
    """Runs a program on batches of one size; the last one is filled up."""
    program = CARD['programs'].get(name)
    if program is None:
        raise ValueError(f'this {CARD["model"]} has no program {name}: {[*CARD["programs"]]}')
    if missing := program['rows'].keys() - rows.keys():
        raise ValueError(f'{name} of this {CARD["model"]} needs a {min(missing)}')
    size = program['batch'] or min(num, batch_size)
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
