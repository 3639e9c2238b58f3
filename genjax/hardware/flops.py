"""Counts the floating-point operations of a program from its jaxpr.

Only products are counted (matrix multiplication, convolution, attention), two operations per
multiply-add: they are nearly all the work of a network, and peak FLOP/s refer to them. The count
covers the whole program, over all devices. XLA's own `cost_analysis` counts the body of a loop
once, whatever its length.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.interpreters import partial_eval

_RECOMPUTED = 'rematted_computation'  # JAX's name scope for recomputation by `jax.checkpoint`


@dataclass(frozen=True)
class Flops:
    """FLOPs of a program.

    Attributes:
        model: operations of the model, without recomputation.
        recomputed: operations repeated by rematerialisation (`jax.checkpoint`).
        uncounted: operations left out or undercounted, as notes.
    """

    model: int = 0
    recomputed: int = 0
    uncounted: frozenset[str] = frozenset()

    @property
    def hardware(self) -> int:
        """Operations executed, recomputation included."""
        return self.model + self.recomputed

    def __add__(self, other: 'Flops') -> 'Flops':
        return Flops(
            self.model + other.model,
            self.recomputed + other.recomputed,
            self.uncounted | other.uncounted,
        )

    def __mul__(self, times: int) -> 'Flops':
        return Flops(self.model * times, self.recomputed * times, self.uncounted)

    def __floordiv__(self, times: int) -> 'Flops':
        return Flops(self.model // times, self.recomputed // times, self.uncounted)


def flops_of(function: Callable, *args: Any) -> Flops:
    """Counts the FLOPs of a function for arguments, arrays or `jax.ShapeDtypeStruct`s, without
    running it.
    """
    return flops_of_jaxpr(jax.make_jaxpr(function)(*args))


def flops_of_jaxpr(closed: Any) -> Flops:
    """Counts the FLOPs of a `ClosedJaxpr`, e.g. `jitted.trace(...).jaxpr`, after dead code
    elimination.
    """
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(jaxpr, recomputing=False)


def _count(jaxpr: Any, recomputing: bool) -> Flops:
    return sum((_count_equation(e, recomputing) for e in jaxpr.eqns), Flops())


def _count_equation(equation: Any, recomputing: bool) -> Flops:
    name, params = equation.primitive.name, equation.params
    recomputing = recomputing or _RECOMPUTED in str(equation.source_info.name_stack)
    if name in _PRODUCTS:
        model, again = _PRODUCTS[name](equation)
        return Flops(0, model + again) if recomputing else Flops(model, again)
    if name == 'cond':
        branches = [_count(branch.jaxpr, recomputing) for branch in params['branches']]
        return max(branches, key=lambda branch: branch.hardware)
    if name == 'while':
        once = sum((_count(inner, recomputing) for inner in _inner(params)), Flops())
        if not once.hardware:
            return once
        return once + Flops(uncounted=frozenset({'loops of unknown length, counted as one turn'}))
    inner = sum((_count(jaxpr, recomputing) for jaxpr in _inner(params)), Flops())
    if name == 'pallas_call':
        inner *= math.prod(params['grid_mapping'].grid)
        repeated, products = _repeated_products(params['name'] or '')
        again = inner.model * repeated // products
        return Flops(inner.model - again, inner.recomputed + again, inner.uncounted)
    if name == 'scan':
        return inner * params['length']
    if name == 'shard_map':  # inside, shapes are those of one device
        axes = params['newly_manual_axes']
        return inner * math.prod(params['mesh'].shape[axis] for axis in axes)
    if name in ('ffi_call', 'custom_call') and not inner.hardware:
        return Flops(uncounted=frozenset({f'foreign calls ({name})'}))
    return inner


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """Yields the jaxprs among the parameters of an equation."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            item = getattr(item, 'jaxpr', item)  # of a ClosedJaxpr
            if hasattr(item, 'eqns'):
                yield item


def _repeated_products(kernel: str) -> tuple[int, int]:
    """Returns the number of products of a Pallas kernel that repeat others, and of all.

    The backward pass of splash attention is two kernels, for queries and for keys and values. Each
    computes the logits again, and the first the gradient of the weights, which the second has.
    """
    if kernel.startswith('splash_mha_dq'):
        return 2, 3
    return (1, 4) if kernel.startswith('splash_mha_dkv') else (0, 1)


# Each of these returns the FLOPs of an equation, and those that its kernel recomputes.


def _dot_general(equation: Any) -> tuple[int, int]:
    (contracted, _), _ = equation.params['dimension_numbers']
    left = equation.invars[0].aval.shape
    out = equation.outvars[0].aval.shape
    return 2 * math.prod(out) * math.prod(left[d] for d in contracted), 0


def _convolution(equation: Any) -> tuple[int, int]:
    """Counts padding as data, as published FLOP counts do, but not the zeros of a dilated input
    (gradients of strided and transposed convolutions).
    """
    params = equation.params
    numbers = params['dimension_numbers']
    kernel = equation.invars[1].aval.shape
    out = equation.outvars[0].aval.shape
    pairs = 1  # of an output position and a kernel tap that meet in the data
    for i, (d_out, d_kernel) in enumerate(
        zip(numbers.out_spec[2:], numbers.rhs_spec[2:], strict=True)
    ):
        place = np.arange(out[d_out])[:, None] * params['window_strides'][i]
        tap = np.arange(kernel[d_kernel]) * params['rhs_dilation'][i]
        offset = place + tap - params['padding'][i][0]
        pairs *= int(np.count_nonzero(offset % params['lhs_dilation'][i] == 0))
    others = out[numbers.out_spec[0]] * out[numbers.out_spec[1]]
    return 2 * others * pairs * kernel[numbers.rhs_spec[1]], 0


def _attention(equation: Any) -> tuple[int, int]:
    """Counts cuDNN attention: queries by keys and weights by values, masked positions included."""
    query, key, _ = (v.aval.shape for v in equation.invars[:3])
    # The size of the query is the same in either layout of heads and positions.
    places = key[1] if equation.params['layout'] == 0 else key[2]
    return 4 * math.prod(query) * places, 0


def _attention_gradient(equation: Any) -> tuple[int, int]:
    """Counts twice the forward pass, and the recomputation of the attention weights."""
    forward, _ = _attention(equation)
    return 2 * forward, forward // 2


_PRODUCTS = {
    'dot_general': _dot_general,
    'conv_general_dilated': _convolution,
    'dot_product_attention_fwd_wrapper': _attention,
    'dot_product_attention_bwd_wrapper': _attention_gradient,
}
