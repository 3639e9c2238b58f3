"""`DiT` and the `DiTTransformer2DModel` of diffusers.

Their position embedding has the same numbers as ours in another order: sines before cosines, and
the column before the row. As nothing in a DiT but its linear layers mixes the features of the
residual stream, these take the features in their order instead.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.networks.convert.layouts import (
    CONV,
    DENSE,
    PLAIN,
    Entry,
    Layout,
    copies,
    reordered,
    stacked,
)
from genjax.networks.dit import DiT

CLASS = 'DiTTransformer2DModel'

_TIME = 'norm1.emb.timestep_embedder.linear_'
_LABEL = 'norm1.emb.class_embedder.embedding_table.weight'
_BLOCKS = {
    'modulation.Dense_0': ('norm1.linear',),
    'qkv': ('attn1.to_q', 'attn1.to_k', 'attn1.to_v'),
    'attention_out': ('attn1.to_out.0',),
    'mlp_in': ('ff.net.0.proj',),
    'mlp_out': ('ff.net.2',),
}
_WHOLE = {
    'patches': 'pos_embed.proj',
    'modulation.Dense_0': 'proj_out_1',
    'output': 'proj_out_2',
}


def table(
    network: DiT, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> dict[str, Entry]:
    """Returns their names and layouts of the parameters, by path `block_0.mlp_in.kernel`."""
    return {path: _entry(network, path) for path in shapes}


def config_of(network: DiT, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Returns the config of the `DiTTransformer2DModel` with the network's outputs.

    Raises:
        UserError: there is none.
    """
    height, width, channels = network.shape
    for fits, needs in (
        (height == width, f'square images, not {height} x {width}'),
        (network.expansion == 4, f'expansion=4, not {network.expansion}'),
        (network.freq_shift == 1, f'freq_shift=1, not {network.freq_shift:g}'),
    ):
        if not fits:
            raise UserError(f'a DiT in diffusers needs {needs}')
    return {
        'num_attention_heads': network.num_heads,
        'attention_head_dim': network.features // network.num_heads,
        'in_channels': channels,
        'out_channels': network.out_channels or channels,
        'num_layers': network.num_layers,
        'dropout': 0.0,
        'attention_bias': True,
        'sample_size': height,
        'patch_size': network.patch,
        'activation_fn': 'gelu-approximate',
        'num_embeds_ada_norm': network.num_classes or 1,
        'norm_type': 'ada_norm_zero',
        'norm_elementwise_affine': False,
        'norm_eps': 1e-6,
    }


def constants(network: DiT) -> dict[str, tuple[int, ...]]:
    """Names and shapes of their parameters that are zero: without classes, the embeddings of the
    label 0 and of the null label.
    """
    if network.num_classes is not None:
        return {}
    shape = (2, network.features)
    return {f'transformer_blocks.{i}.{_LABEL}': shape for i in range(network.num_layers)}


def _entry(network: DiT, path: str) -> Entry:
    module, _, leaf = path.rpartition('.')
    kind = 'bias' if leaf == 'bias' else 'weight'
    first, _, rest = module.partition('.')
    num = network.num_layers
    if module in ('time.Dense_0', 'time.Dense_1'):
        names = [f'transformer_blocks.{i}.{_TIME}{int(module[-1]) + 1}.{kind}' for i in range(num)]
        layout = DENSE if kind == 'weight' else PLAIN
        return Entry(names, copies(layout, num, 'the time embedding'))
    if module == 'label.Embed_0':
        names = [f'transformer_blocks.{i}.{_LABEL}' for i in range(num)]
        return Entry(names, copies(PLAIN, num, 'the label embedding'))
    if module in _WHOLE:
        return Entry([f'{_WHOLE[module]}.{kind}'], _layout(network, module, kind, chunks=2))
    if rest in _BLOCKS:
        layout = _layout(network, rest, kind, chunks=6)
        layers = range(num) if first == 'blocks' else [int(first.removeprefix('block_'))]
        names = [f'transformer_blocks.{i}.{n}.{kind}' for i in layers for n in _BLOCKS[rest]]
        return Entry(names, stacked(layout, num) if first == 'blocks' else layout)
    raise UserError(f'a DiTTransformer2DModel of diffusers has nothing like {module}')


def _layout(network: DiT, layer: str, kind: str, chunks: int) -> Layout:
    """Layout of a layer that reads or writes the residual stream; a modulation of `chunks`."""
    quarters = np.split(np.arange(network.features), 4)
    order = np.concatenate(quarters[::-1])  # column's sines and cosines, then the row's
    layout = DENSE if kind == 'weight' else PLAIN
    if layer == 'patches' and kind == 'weight':
        side = network.patch
        layout = CONV.after(
            lambda a: a.reshape(side, side, -1, a.shape[-1]), lambda a: a.reshape(-1, a.shape[-1])
        )
    if layer == 'qkv':
        layout = _heads(layout, network.num_heads)
    if layer in ('qkv', 'mlp_in', 'output'):
        return reordered(layout, order, 0) if kind == 'weight' else layout
    return reordered(layout, order, -1, chunks if layer == 'modulation.Dense_0' else 1)


def _heads(each: Layout, num_heads: int) -> Layout:
    """Layout of queries, keys and values of each head in turn (`transformer.split_heads`)."""

    def split(a: np.ndarray) -> list[np.ndarray]:
        heads = a.reshape(*a.shape[:-1], num_heads, 3, -1)
        return [each.split(heads[..., i, :].reshape(*a.shape[:-1], -1))[0] for i in range(3)]

    def join(found: list[np.ndarray]) -> np.ndarray:
        each_ours = [each.join([part]) for part in found]
        heads = [a.reshape(*a.shape[:-1], num_heads, -1) for a in each_ours]
        return np.stack(heads, axis=-2).reshape(*each_ours[0].shape[:-1], -1)

    return Layout(split, join)
