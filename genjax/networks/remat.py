"""Rematerialisation of a network's blocks in the backward pass."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name

from genjax.errors import UserError, nearest

__all__ = ['NAMES', 'Remat', 'checkpoint_name', 'rematerialised']

Remat = Literal['none', 'dots', 'full'] | tuple[str, ...]

NAMES = ('qkv', 'attention', 'mlp', 'convolution')
"""Names that blocks give to values (`checkpoint_name`): queries, keys and values; the result of the
attention; the hidden layer of the MLP before its activation; the first convolution of a block."""

_ON_HOST = '@host'
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
            recomputes all of it, about a third more work per step. A tuple of `NAMES` keeps the
            input and these values: `('qkv', 'mlp')`; `'mlp@host'` keeps it in the memory of the
            host until the backward pass.
        options: arguments of `nn.remat`.

    Raises:
        UserError: an unknown policy or name.
    """
    if remat == 'none':
        return block
    return nn.remat(block, policy=_policy(remat), **options)


def _policy(remat: Remat) -> Callable:
    if isinstance(remat, str) and remat in _POLICIES:
        return _POLICIES[remat]
    names = remat if isinstance(remat, tuple) else (remat,)
    known = (*_POLICIES, *NAMES, *(name + _ON_HOST for name in NAMES))
    for name in names:
        if name not in known[len(_POLICIES) :]:
            raise UserError(
                f'remat={remat!r}: it is one of {", ".join(_POLICIES)}, or a tuple of names among'
                f' {", ".join(NAMES)}, or these with {_ON_HOST}{nearest(str(name), known)}'
            )
    offloaded = {n.removesuffix(_ON_HOST) for n in names if n.endswith(_ON_HOST)}
    return jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[
            name for name in names if name in NAMES and name not in offloaded
        ],
        names_which_can_be_offloaded=sorted(offloaded),
        offload_src='device',
        offload_dst='pinned_host',
    )
