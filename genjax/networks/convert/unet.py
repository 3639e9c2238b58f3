"""`UNet` and the `UNet2DModel` of diffusers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.networks.convert.layouts import CONV, DENSE, PLAIN, Entry, Layout, parts
from genjax.networks.layers import halvings
from genjax.networks.unet import UNet

CLASS = 'UNet2DModel'

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
_SHORTCUT = Layout(
    lambda a: [DENSE.split(a)[0][:, :, None, None]],
    lambda found: DENSE.join([found[0][:, :, 0, 0]]),
)


def table(
    network: UNet, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> dict[str, Entry]:
    """Returns their names and layouts of the parameters, by path `down_0_block_0.conv_1.kernel`."""
    flipped = config.get('flip_sin_to_cos', True)
    return {
        path: Entry(_names(path, len(network.features)), _layout(path, len(shape), flipped))
        for path, shape in shapes.items()
    }


def config_of(network: UNet, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Returns the config of the `UNet2DModel` with the network's outputs.

    Raises:
        UserError: there is none.
    """
    depth = len(network.features)
    height, width, channels = network.shape
    if network.resample != 'conv':
        raise UserError("a UNet in diffusers needs resample='conv'")
    if height % 2 ** (depth - 1) or width % 2 ** (depth - 1):
        raise UserError(
            f'a UNet in diffusers needs sides that {depth - 1} halvings divide, not {height} x'
            f' {width}'
        )
    norms = [s[0] for path, s in shapes.items() if re.search(r'norm(_\d)?\.scale$', path)]
    groups = {network.groups or (1 if size % 4 else math.gcd(size // 4, 32)) for size in norms}
    if len(groups) > 1:
        raise UserError(
            'a UNet in diffusers has the same number of groups in all norms: set UNet.groups, as'
            f' here they have {", ".join(map(str, sorted(groups)))}'
        )
    attends = [side in network.attention_at for side in halvings(height, depth - 1)]
    down = ['AttnDownBlock2D' if attention else 'DownBlock2D' for attention in attends]
    up = ['AttnUpBlock2D' if attention else 'UpBlock2D' for attention in reversed(attends)]
    (group,) = groups
    return {
        'sample_size': [height, width],
        'in_channels': channels,
        'out_channels': channels,
        'center_input_sample': False,
        'time_embedding_type': 'positional',
        'freq_shift': network.freq_shift,
        'flip_sin_to_cos': True,
        'down_block_types': down,
        'mid_block_type': 'UNetMidBlock2D',
        'up_block_types': up,
        'block_out_channels': list(network.features),
        'layers_per_block': network.num_blocks,
        'mid_block_scale_factor': 1,
        'downsample_padding': 1,
        'downsample_type': 'conv',
        'upsample_type': 'conv',
        'dropout': network.dropout,
        'act_fn': 'silu',
        'attention_head_dim': _head_features(network, attends),
        'norm_num_groups': group,
        'attn_norm_num_groups': group if network.scale_shift else None,
        'norm_eps': 1e-5,
        'resnet_time_scale_shift': 'scale_shift' if network.scale_shift else 'default',
        'add_attention': True,
        'class_embed_type': None,
        'num_class_embeds': None if network.num_classes is None else network.num_classes + 1,
    }


def _head_features(network: UNet, attends: Sequence[bool]) -> int:
    """Returns the features of a head for which each level has as many heads there as here."""
    widths = [size for size, attention in zip(network.features, attends, strict=True) if attention]
    widths.append(network.features[-1])  # of the middle
    for size in (network.head_features, *widths):
        if all(w % size == 0 and w // size == max(1, w // network.head_features) for w in widths):
            return size
    raise UserError(
        'a UNet in diffusers has heads of the same size in all levels with attention:'
        f' head_features={network.head_features} does not divide {", ".join(map(str, widths))}'
    )


def constants(network: UNet) -> dict[str, tuple[int, ...]]:
    """Names and shapes of their parameters that are zero."""
    return {}


def _names(path: str, depth: int) -> list[str]:
    """Returns the diffusers names of a parameter's parts, concatenated along its last axis."""
    module, _, leaf = path.rpartition('.')
    kind = 'bias' if leaf == 'bias' else 'weight'
    if module in _WHOLE:
        return [f'{_WHOLE[module]}.{kind}']
    place, _, layer = module.partition('.')
    # diffusers numbers the upsampling levels from the coarsest.
    place = re.sub(r'^up_(\d+)', lambda m: f'up_{depth - 1 - int(m[1])}', place)
    blocks = [
        re.sub(pattern, name, place)
        for pattern, name in _PLACES.items()
        if re.fullmatch(pattern, place)
    ]
    if not blocks or layer not in ('', *_LAYERS):
        raise UserError(f'a UNet2DModel of diffusers has nothing like {module}')
    layers = [f'.{name}' for name in _LAYERS[layer]] if layer else ['']
    return [f'{blocks[0]}{name}.{kind}' for name in layers]


def _layout(path: str, ndim: int, flipped: bool) -> Layout:
    if path.endswith('shortcut.kernel'):
        return _SHORTCUT
    layout = {2: DENSE, 4: CONV}[ndim] if path.endswith('kernel') else PLAIN
    if '.qkv.' in path:
        return parts(layout, 3)
    if path == 'time.Dense_0.kernel' and not flipped:
        return layout.after(_swapped_halves, _swapped_halves)
    return layout


def _swapped_halves(a: np.ndarray) -> np.ndarray:
    return np.roll(a, len(a) // 2, axis=0)
