"""A trained model applied to examples in the range of the data.

Examples are computed in chunks of a fixed size (`draw.chunk_size`), and the noise of example `i` is
a function of the seed and `i`. A conditional model takes the `label` of all examples or int [N], or
the `context` of all or [N, *context_shape], where that is known.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.keys import key_of
from genjax.models import classes
from genjax.models.base import LogProb, Variables
from genjax.models.vae.regret import likelihood_regret
from genjax.parallel.host import fetch, mesh_of, spread
from genjax.sampling.draw import chunk_size, conditions_of


def log_prob(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    seed: int = 0,
    **given: Any,
) -> LogProb:
    """Log-probability of each example x [N, *event] as stored: that of the preprocessed example,
    plus the log-determinant of the preprocessing; given the label or context, if there is one.
    """
    return _applied(_log_prob, 'log_prob', model, preprocess, variables, x, seed, **given)


def encode(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    seed: int = 0,
    **given: Any,
) -> np.ndarray:
    """Draws a code of each example x [N, *event]: [N, *code]."""
    return _applied(_encode, 'encode', model, preprocess, variables, x, seed, **given)


def decode(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    z: np.ndarray,
    seed: int = 0,
    **given: Any,
) -> np.ndarray:
    """The expected example [N, *event] of each code z [N, *code]."""
    return _applied(_decode, 'decode', model, preprocess, variables, z, seed, **given)


def reconstruct(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    seed: int = 0,
    **given: Any,
) -> np.ndarray:
    """Encodes and decodes examples x [N, *event]."""
    z = encode(model, preprocess, variables, x, seed, **given)
    return decode(model, preprocess, variables, z, seed)


def interpolate(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    a: np.ndarray,
    b: np.ndarray,
    num: int,
    seed: int = 0,
    **given: Any,
) -> np.ndarray:
    """Decodes `num` codes on the straight line from that of example a [*event] to that of b:
    [num, *event].

    Raises:
        UserError: codes of this model are not real numbers.
    """
    start, end = encode(model, preprocess, variables, np.stack([a, b]), seed, **given)
    if start.dtype.kind != 'f':
        raise UserError(
            f'a {type(model).__name__} cannot interpolate: its codes are {start.dtype}, not real'
            ' numbers'
        )
    share = np.linspace(0.0, 1.0, num, dtype=start.dtype).reshape(-1, *(1,) * start.ndim)
    return decode(model, preprocess, variables, start + share * (end - start), seed)


def features(
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: np.ndarray,
    seed: int = 0,
    **given: Any,
) -> np.ndarray:
    """Features [N, D] of examples x [N, *event]."""
    return _applied(_features, 'features', model, preprocess, variables, x, seed, **given)


def regret(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Likelihood regret [N] of examples x [N, *event] in nats; see `likelihood_regret`."""
    return _applied(_regret, 'posterior', model, preprocess, variables, x, seed)


def classify(
    model: Any, preprocess: Chain, variables: Variables, x: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Class logits [N, num_classes] of examples x [N, *event]; see `classes.classify`."""
    return _applied(logits, classes.needed(model), model, preprocess, variables, x, seed)


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
    label: int | np.ndarray | None = None,
    context: np.ndarray | None = None,
) -> Any:
    if not callable(getattr(model, ability, None)):
        raise UserError(f'a {type(model).__name__} has no {ability}()')
    x = np.asarray(x)
    if not len(x):
        raise UserError(f'{ability} needs at least one example')
    rows_of = {'x': x}
    if label is not None or context is not None:
        rows_of |= conditions_of(model, len(x), label, context)
    mesh, key = mesh_of(variables), key_of(seed, 'examples')
    rows = chunk_size(mesh)
    parts = []
    for start in range(0, len(x), rows):
        kept = np.minimum(np.arange(start, start + rows), len(x) - 1)  # pads with the last
        padded = jax.device_put({name: values[kept] for name, values in rows_of.items()})
        place = jax.device_put(np.uint32(start))
        out = _batch(method, model, preprocess, mesh, variables, key, place, padded)
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
    rows: Mapping[str, Array],
) -> Any:
    numbers = start + jnp.arange(len(rows['x']), dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)

    def one(key: Array, row: Mapping[str, Array]) -> Any:
        given = {name: value[None] for name, value in row.items()}
        out = method(model, preprocess, variables, given.pop('x'), key, **given)
        return jax.tree.map(lambda array: array[0], out)

    return jax.tree.map(lambda array: spread(array, mesh), jax.vmap(one)(keys, rows))


def _log_prob(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array, **given: Array
) -> LogProb:
    preprocess_key, key = jax.random.split(key)
    y, log_det = preprocess(x, preprocess_key)
    result = model.log_prob(variables, y, key, **given)
    return result.replace(value=result.value + log_det)


def _encode(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array, **given: Array
) -> Array:
    preprocess_key, key = jax.random.split(key)
    return model.encode(variables, preprocess(x, preprocess_key)[0], key, **given)


def _decode(
    model: Any, preprocess: Chain, variables: Variables, z: Array, key: Array, **given: Array
) -> Array:
    return preprocess.inverse(model.decode(variables, z, key, **given))


def _features(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array, **given: Array
) -> Array:
    return model.features(variables, preprocess(x, key)[0], **given)


def _regret(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> Array:
    preprocess_key, key = jax.random.split(key)
    return likelihood_regret(model, variables, preprocess(x, preprocess_key)[0], key)


def logits(model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array) -> Array:
    """Class logits [B, K] of a batch x [B, *event] in the range of the data, all with one key."""
    preprocess_key, key = jax.random.split(key)
    return classes.classify(model, variables, preprocess(x, preprocess_key)[0], key)


def _translate_ab(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    return preprocess.inverse(model.translate(variables, preprocess(x, key)[0], 'ab'))


def _translate_ba(
    model: Any, preprocess: Chain, variables: Variables, x: Array, key: Array
) -> Array:
    return preprocess.inverse(model.translate(variables, preprocess(x, key)[0], 'ba'))
