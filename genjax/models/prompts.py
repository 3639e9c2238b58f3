"""Prompts: the first elements of samples, given by the caller.

A model that takes prompts has the property `prompt_shape`, (number of elements, *element) of an
example.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError


def of_samples(model: Any, num: int, prompt: np.ndarray | Array) -> np.ndarray | Array:
    """Returns the prompts [num, P, *element] of a prompt [P, *element] or [num, P, *element].

    Raises:
        UserError: examples of the model cannot begin so. The values of traced arrays are not
            checked.
    """
    name = type(model).__name__
    if not hasattr(model, 'prompt_shape'):
        raise UserError(f'a {name} takes no prompt')
    length, *element = model.prompt_shape
    size = prompt.shape[-1 - len(element)] if prompt.ndim > len(element) else 0
    if prompt.shape not in ((size, *element), (num, size, *element)):
        one, all_ = (f'[{", ".join(map(str, s))}]' for s in (('P', *element), (num, 'P', *element)))
        raise UserError(
            f'a prompt of {num} samples of this {name} is {one}, or {all_}; not'
            f' {list(prompt.shape)}'
        )
    if size > length:
        raise UserError(f'the prompt has {size} elements, and a sample of this {name} {length}')
    if not isinstance(prompt, jax.core.Tracer):
        values, highest = np.ravel(jax.device_get(prompt)), int(model.data_values.high)
        wrong = values[(values < 0) | (values > highest) | (values != np.floor(values))]
        if wrong.size:
            raise UserError(f'the prompt has the element {wrong[0]}: they are 0..{highest}')
    module = jnp if isinstance(prompt, Array) else np
    return module.broadcast_to(prompt, (num, size, *element))


def padded(model: Any, num: int, prompt: Array | None, dtype: Any) -> tuple[Array, Array]:
    """Returns elements [num, *prompt_shape] that begin with the prompt, if any, and which of them
    are given, bool [T]. Raises what `of_samples` does.
    """
    x, size = jnp.zeros((num, *model.prompt_shape), dtype), 0
    if prompt is not None:
        prompt = of_samples(model, num, prompt)
        size = prompt.shape[1]
        x = x.at[:, :size].set(jnp.asarray(prompt, dtype))
    return x, jnp.arange(x.shape[1]) < size
