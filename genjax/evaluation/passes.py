"""Counts the passes of networks for a sample."""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import flax.linen as nn
import jax


def network_passes(draw: Callable[..., Any], *args: Any, num: int) -> float:
    """Runs `draw(*args)`, which draws `num` samples, and returns the passes a sample of the network
    that is passed most often; 0 without networks.

    The calls of Flax modules are counted while the compiled program runs: a loop has its
    iterations, a branch that is not taken none, and a call with twice as many examples as samples
    is two passes. Parts of a network that are called by themselves count by their share of its
    parameters: a flow that is inverted token by token has as many passes as tokens, whatever the
    number of its layers. A method that returns functions, such as one for the next token, counts
    when these are called.
    """
    used: Counter[tuple[Hashable, int]] = Counter()  # parameters, by part and size of its network
    entered: list[tuple[nn.Module, int, int]] = []  # modules, with the network's size and rows

    def counted(call: Callable[..., Any], inputs: tuple, options: dict, context: Any) -> Any:
        module, method = context.module, context.method_name
        is_root = module.scope is not None and not module.path and method != 'setup'
        if not is_root or (entered and entered[-1][0] is module):
            return call(*inputs, **options)
        params = module.variables.get('params', {})
        size = max(1, sum(leaf.size for leaf in jax.tree.leaves(params)))
        _, whole, rows = entered[0] if entered else (module, size, len(inputs[0]))
        entered.append((module, whole, rows))
        shapes = str(jax.tree.map(lambda leaf: leaf.shape, params))
        part = (type(module).__name__, method, len(entered), shapes), whole

        def count(*arguments: Any) -> None:
            # With an argument, as JAX moves calls without one out of some loops.
            argument = jax.tree.leaves((arguments, params))[:1]
            jax.debug.callback(lambda _: used.update({part: rows * size}), argument)

        def counting(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: count(*args) or function(*args)

        try:
            out = call(*inputs, **options)
        finally:
            entered.pop()
        if not any(map(callable, jax.tree.leaves(out))):
            count(*inputs)
        return jax.tree.map(lambda leaf: counting(leaf) if callable(leaf) else leaf, out)

    with nn.intercept_methods(counted):
        jax.block_until_ready(jax.jit(lambda *args: draw(*args))(*args))
    jax.effects_barrier()
    return max((found / (num * whole) for (_, whole), found in used.items()), default=0.0)
