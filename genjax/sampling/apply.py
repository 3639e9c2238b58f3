"""A trained model applied to examples in the range of the data.

Examples are computed in chunks of a fixed size (`draw.chunk_size`), and the noise of example `i` is
a function of the seed and `i`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.keys import key_of
from genjax.models.base import LogProb, Variables
from genjax.parallel.host import fetch, mesh_of, spread
from genjax.sampling.draw import chunk_size


def log_prob(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> LogProb:
    """Log-probability of each example x [N, *event] as stored: that of the preprocessed example,
    plus the log-determinant of the preprocessing.
    """
    return _applied(_log_prob, 'log_prob', model, preprocess, variables, x, seed)


def encode(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Draws a code of each example x [N, *event]: [N, *code]."""
    return _applied(_encode, 'encode', model, preprocess, variables, x, seed)


def decode(
    model: Any, preprocess: Chain, variables: Variables, z: np.ndarray, seed: int = 0
) -> np.ndarray:
    """The expected example [N, *event] of each code z [N, *code]."""
    return _applied(_decode, 'decode', model, preprocess, variables, z, seed)


def reconstruct(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Encodes and decodes examples x [N, *event]."""
    z = encode(model, preprocess, variables, x, seed)
    return decode(model, preprocess, variables, z, seed)


def interpolate(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    a: np.ndarray,
    b: np.ndarray,
    num: int,
    seed: int = 0,
) -> np.ndarray:
    """Decodes `num` codes on the straight line from that of example a [*event] to that of b:
    [num, *event].

    Raises:
        UserError: codes of this model are not real numbers.
    """
    start, end = encode(model, preprocess, variables, np.stack([a, b]), seed)
    if start.dtype.kind != 'f':
        raise UserError(
            f'a {type(model).__name__} cannot interpolate: its codes are {start.dtype}, not real'
            ' numbers'
        )
    share = np.linspace(0.0, 1.0, num, dtype=start.dtype).reshape(-1, *(1,) * start.ndim)
    return decode(model, preprocess, variables, start + share * (end - start), seed)


def features(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Features [N, D] of examples x [N, *event]."""
    return _applied(_features, 'features', model, preprocess, variables, x, seed)


def classify(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Logits [N, num_classes] of the model's classifier for examples x [N, *event]."""
    return _applied(_classify, 'classify', model, preprocess, variables, x, seed)


def translate(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    direction: str = 'ab',
    seed: int = 0,
) -> np.ndarray:
    """Translates examples x [N, *shape] of one domain into the other, 'ab' or 'ba'."""
    if direction not in ('ab', 'ba'):
        raise UserError(f"direction is 'ab' or 'ba', not {direction!r}")
    method = {'ab': _translate_ab, 'ba': _translate_ba}[direction]
    return _applied(method, 'translate', model, preprocess, variables, x, seed)


def _applied(
    method: Callable,
    ability: str,
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    seed: int,
) -> Any:
    if not callable(getattr(model, ability, None)):
        raise UserError(f'a {type(model).__name__} has no {ability}()')
    x = np.asarray(x)
    if not len(x):
        raise UserError(f'{ability} needs at least one example')
    mesh, key = mesh_of(variables), key_of(seed, 'examples')
    rows = chunk_size(mesh)
    parts = []
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        padded = np.concatenate([part, np.repeat(part[-1:], rows - len(part), axis=0)])
        place = jax.device_put(np.uint32(start))
        out = _batch(method, model, preprocess, mesh, variables, key, place, jax.device_put(padded))
        parts.append(fetch(out))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(x)], *parts)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _batch(
    method: Callable,
    model: Any,
    preprocess: Chain,
    mesh: Mesh | None,
    variables: Variables,
    key: Array,
    start: Array,
    x: Array,
) -> Any:
    numbers = start + jnp.arange(len(x), dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)

    def one(key: Array, x: Array) -> Any:
        out = method(model, preprocess, variables, x[None], key)
        return jax.tree.map(lambda array: array[0], out)

    return jax.tree.map(lambda array: spread(array, mesh), jax.vmap(one)(keys, x))


def _log_prob(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> LogProb:
    preprocess_key, key = jax.random.split(key)
    y, log_det = preprocess(x, preprocess_key)
    result = model.log_prob(variables, y, key)
    return result.replace(value=result.value + log_det)


def _encode(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> Array:
    preprocess_key, key = jax.random.split(key)
    return model.encode(variables, preprocess(x, preprocess_key)[0], key)


def _decode(model: Any, preprocess: Chain, variables: Variables, z: Array, key: Array) -> Array:
    return preprocess.inverse(model.decode(variables, z, key))


def _features(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> Array:
    return model.features(variables, preprocess(x, key)[0])


def _classify(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> Array:
    return model.classify(variables, preprocess(x, key)[0])


def _translate_ab(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    return preprocess.inverse(model.translate(variables, preprocess(x, key)[0], 'ab'))


def _translate_ba(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    return preprocess.inverse(model.translate(variables, preprocess(x, key)[0], 'ba'))
