"""Conversion of weights from other libraries."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.networks.unet import UNet

_WHOLE = {
    'input': 'conv_in',
    'norm': 'conv_norm_out',
    'output': 'conv_out',
    'time.Dense_0': 'time_embedding.linear_1',
    'time.Dense_1': 'time_embedding.linear_2',
    'label.Embed_0': 'class_embedding',
}
_PLACES = {
    r'down_(\d+)_block_(\d+)': r'down_blocks.\1.resnets.\2',
    r'down_(\d+)_attention_(\d+)': r'down_blocks.\1.attentions.\2',
    r'down_(\d+)_resample': r'down_blocks.\1.downsamplers.0.conv',
    r'middle_block_(\d+)': r'mid_block.resnets.\1',
    r'middle_attention': r'mid_block.attentions.0',
    r'up_(\d+)_block_(\d+)': r'up_blocks.\1.resnets.\2',
    r'up_(\d+)_attention_(\d+)': r'up_blocks.\1.attentions.\2',
    r'up_(\d+)_resample': r'up_blocks.\1.upsamplers.0.conv',
}
_LAYERS = {
    'norm_1': ('norm1',),
    'conv_1': ('conv1',),
    'condition': ('time_emb_proj',),
    'norm_2': ('norm2',),
    'conv_2': ('conv2',),
    'shortcut': ('conv_shortcut',),
    'norm': ('group_norm',),
    'qkv': ('to_q', 'to_k', 'to_v'),
    'out': ('to_out.0',),
}


def from_diffusers(
    state_dict: Mapping[str, np.ndarray], network: UNet, *, flip_sin_to_cos: bool = True
) -> dict[str, Any]:
    """Converts the parameters of a `UNet2DModel` of Hugging Face's diffusers for a `UNet`.

    Supports the blocks DownBlock2D, AttnDownBlock2D, UpBlock2D and AttnUpBlock2D, with the time
    embedding 'positional' and downsample_padding=1. Required fields of the network:

    - `features` block_out_channels, `num_blocks` layers_per_block, `head_features`
      attention_head_dim, `groups` norm_num_groups (norm_eps is 1e-5), `freq_shift` freq_shift;
    - `attention_at` the heights of the levels with attention, in both paths;
    - `scale_shift` True for resnet_time_scale_shift='scale_shift', False for 'default'; the former
      also needs attn_norm_num_groups, otherwise the middle has no norm;
    - `num_classes` num_class_embeds - 1 if the last class is the null label; or num_class_embeds,
      and the null label's embedding is set to zero.

    A time step t in diffusers is the time t / 1000 here.

    Args:
        state_dict: the model's parameters by name, as NumPy arrays.
        network: the target network.
        flip_sin_to_cos: value of that option of the diffusers model.

    Returns:
        The tree `params` of `network.apply({'params': params}, x, time)`, float32.

    Raises:
        UserError: a parameter is missing, left over or of another shape.
    """
    if network.resample != 'conv':
        raise UserError("from_diffusers: the network needs resample='conv'")
    label = None if network.num_classes is None else jnp.zeros(1, jnp.int32)
    x = jnp.zeros((1, *network.shape))
    wanted = jax.eval_shape(network.init, jax.random.key(0), x, jnp.zeros(1), label)['params']
    leaves, treedef = jax.tree_util.tree_flatten_with_path(wanted)
    paths = ['.'.join(entry.key for entry in path) for path, _ in leaves]
    names = {path: _names(path, len(network.features)) for path in paths}

    known = {name for several in names.values() for name in several}
    _complain('are missing', known - state_dict.keys())
    _complain('do not belong to the network', state_dict.keys() - known)

    def read(path: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        value = np.asarray(state_dict[name], np.float32)
        if path.startswith('label.') and len(value) == shape[0] - 1:
            value = np.pad(value, ((0, 1), (0, 0)))  # zero embedding of the null label
        order = _torch_order(path, len(shape))
        expected = tuple(shape[axis] for axis in order)
        if path.endswith('shortcut.kernel'):
            value = value.reshape(value.shape[:2])  # a convolution with a kernel of 1 x 1
        if value.shape != expected:
            raise UserError(
                f'from_diffusers: {name} has shape {value.shape}, the network needs {expected}'
            )
        value = value.transpose(np.argsort(order))
        if path == 'time.Dense_0.kernel' and not flip_sin_to_cos:
            value = np.roll(value, len(value) // 2, axis=0)
        return value

    values = []
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        parts = len(names[path])
        shape = (*leaf.shape[:-1], leaf.shape[-1] // parts)
        value = np.concatenate([read(path, name, shape) for name in names[path]], axis=-1)
        values.append(jnp.asarray(value))
    return jax.tree.unflatten(treedef, values)


def _names(path: str, depth: int) -> list[str]:
    """Returns the diffusers names of a parameter's parts, concatenated along its last axis."""
    module, _, leaf = path.rpartition('.')
    kind = 'bias' if leaf == 'bias' else 'weight'
    if module in _WHOLE:
        return [f'{_WHOLE[module]}.{kind}']
    place, _, layer = module.partition('.')
    # diffusers numbers the upsampling levels from the coarsest.
    place = re.sub(r'^up_(\d+)', lambda m: f'up_{depth - 1 - int(m[1])}', place)
    (block,) = (
        re.sub(pattern, name, place)
        for pattern, name in _PLACES.items()
        if re.fullmatch(pattern, place)
    )
    layers = [f'.{name}' for name in _LAYERS[layer]] if layer else ['']
    return [f'{block}{name}.{kind}' for name in layers]


def _torch_order(path: str, ndim: int) -> tuple[int, ...]:
    """Returns our axis for each of PyTorch's axes of a parameter."""
    if path.endswith('kernel'):
        return {2: (1, 0), 4: (3, 2, 0, 1)}[ndim]
    return tuple(range(ndim))


def _complain(what: str, names: Iterable[str]) -> None:
    names = sorted(names)
    if names:
        shown = ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
        raise UserError(f'from_diffusers: {len(names)} parameters {what}: {shown}')
