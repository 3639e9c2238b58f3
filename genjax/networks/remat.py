"""What a network keeps from the forward pass, and what it computes again in the backward one."""

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
    """A block that keeps less for the backward pass, at the price of computing it again.

    Args:
        block: the class of a module that a network repeats.
        remat: 'none' keeps every intermediate value; 'dots' the products with weights, and computes
            what lies between them and attention again; 'full' only what goes into the block, and
            computes all of it again, about a third more work in a step.
        options: of `nn.remat`.

    Raises:
        UserError: there is no such policy.
    """
    if remat not in _POLICIES:
        known = ', '.join(_POLICIES)
        raise UserError(f'remat={remat!r} is none of {known}{nearest(str(remat), _POLICIES)}')
    return block if remat == 'none' else nn.remat(block, policy=_POLICIES[remat], **options)
