"""Networks that were trained in PyTorch, from the arrays of their checkpoints."""

import math
import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from genjax.errors import UserError
from genjax.networks.convert.layouts import CONV, DENSE, PLAIN
from genjax.networks.dinov2 import HEAD, DINOv2
from genjax.networks.inception import InceptionV3

_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}

# Names of transformers' `Dinov2Model` and `Dinov2WithRegistersModel`.
_OF_TRANSFORMERS = (
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.proj.'),
    (r'^embeddings\.', ''),
    (r'^encoder\.layer\.', 'blocks.'),
    (r'^layernorm\.', 'norm.'),
    (r'\.attention\.attention\.', '.attn.'),
    (r'\.attention\.output\.dense\.', '.attn.proj.'),
    (r'\.layer_scale(\d)\.lambda1$', r'.ls\1.gamma'),
)


def inception_v3(arrays: Mapping[str, np.ndarray]) -> tuple[InceptionV3, Any]:
    """Returns the network and its variables, from the state dict of the PyTorch conversion of
    `inception-2015-12-05`, such as `pt_inception-2015-12-05` (pytorch-fid) and
    `weights-inception-2015-12-05` (torch-fidelity). The last layer, `fc`, is not used.

    Raises:
        UserError: an array is missing, left over or of another shape.
    """
    network = InceptionV3()
    return network, _variables(network, arrays, r'fc\.(weight|bias)|.*\.num_batches_tracked')


def dinov2(arrays: Mapping[str, np.ndarray]) -> tuple[DINOv2, Any]:
    """Returns the network, of the size of the arrays, and its variables, from the state dict of the
    original checkpoints or of transformers' `Dinov2Model` or `Dinov2WithRegistersModel`. Supported
    are ViT-S, B and L, whose blocks have an MLP of two layers.

    Raises:
        UserError: an array is missing, left over or of another shape.
    """
    arrays = _original_names(arrays)

    def shape(name: str, num_axes: int) -> tuple[int, ...]:
        if name not in arrays:
            raise UserError(f'{name} is missing')
        if arrays[name].ndim != num_axes:
            raise UserError(f'{name} has shape {arrays[name].shape}, not of {num_axes} axes')
        return arrays[name].shape

    _, positions, width = shape('pos_embed', 3)
    if width % HEAD:
        raise UserError(
            f'pos_embed has width {width}, not a multiple of {HEAD}, the width of a head'
        )
    blocks = [int(found[1]) for name in arrays if (found := re.match(r'blocks\.(\d+)\.', name))]
    network = DINOv2(
        width,
        max(blocks, default=-1) + 1,
        hidden=shape('blocks.0.mlp.fc1.weight', 2)[0],
        patch=shape('patch_embed.proj.weight', 4)[-1],
        grid=math.isqrt(positions - 1),
        registers=shape('register_tokens', 3)[1] if 'register_tokens' in arrays else 0,
    )
    return network, _variables(network, arrays, 'mask_token')


def _original_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names as in the original checkpoints, with one array of queries, keys and values."""
    found = {}
    for name, array in arrays.items():
        for pattern, replacement in _OF_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        found[name] = array
    for name in [name for name in found if '.attn.query.' in name]:
        names = [name.replace('query', part) for part in ('query', 'key', 'value')]
        if len({found[part].shape if part in found else None for part in names}) == 1:
            found[name.replace('query', 'qkv')] = np.concatenate([found.pop(n) for n in names])
    return found


def _variables(network: nn.Module, arrays: Mapping[str, np.ndarray], unused: str) -> Any:
    """Variables of a network whose modules are named as in PyTorch; `unused`: pattern of the names
    of arrays that it does not have.
    """
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)
    names = jax.tree_util.tree_map_with_path(_name, shapes)
    expected = set(jax.tree.leaves(names))
    if missing := sorted(expected - arrays.keys()):
        raise UserError(f'{missing[0]} is missing')
    extra = [name for name in sorted(arrays.keys() - expected) if not re.fullmatch(unused, name)]
    if extra:
        raise UserError(f'{extra[0]} does not belong to the network')

    def leaf(name: str, like: jax.ShapeDtypeStruct) -> np.ndarray:
        layout = {4: CONV, 2: DENSE}.get(like.ndim, PLAIN)
        (wanted,) = layout.split(np.broadcast_to(np.float32(0), like.shape))
        if arrays[name].shape != wanted.shape:
            raise UserError(
                f'{name} has shape {arrays[name].shape}, the network needs {wanted.shape}'
            )
        return np.ascontiguousarray(layout.join([np.asarray(arrays[name], np.float32)]))

    return jax.tree.map(leaf, names, shapes)


def _name(path: tuple[Any, ...], _: Any) -> str:
    """Name in PyTorch of a variable, such as `blocks.0.mlp.fc1.weight`."""
    *modules, leaf = (entry.key for entry in path[1:])
    return '.'.join([*modules, _LEAVES.get(leaf, leaf)])
