"""Rematerialisation of a network's blocks in the backward pass."""

from typing import Any, Literal

import flax.linen as nn
import jax

from genjax.errors import UserError, nearest

Remat = Literal['none', 'dots', 'full']

_POLICIES = {
    'none': None,
    'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    'full': jax.checkpoint_policies.nothing_saveable,
}


def rematerialised(block: type[nn.Module], remat: Remat, **options: Any) -> type[nn.Module]:
    """Wraps a block to save memory in the backward pass by recomputation.

    Args:
        block: class of a repeated module.
        remat: 'none' keeps every intermediate value; 'dots' keeps the products with weights and
            recomputes the rest, including attention; 'full' keeps only the block's input and
            recomputes all of it, about a third more work per step.
        options: arguments of `nn.remat`.

    Raises:
        UserError: an unknown policy.
    """
    if remat not in _POLICIES:
        known = ', '.join(_POLICIES)
        raise UserError(f'remat={remat!r} is none of {known}{nearest(str(remat), _POLICIES)}')
    return block if remat == 'none' else nn.remat(block, policy=_POLICIES[remat], **options)
