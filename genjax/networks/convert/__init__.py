"""Weights of Hugging Face's diffusers for `UNet` and `DiT`, and ours for diffusers, by one table.

Supported are

- `UNet2DModel` with the blocks DownBlock2D, AttnDownBlock2D, UpBlock2D and AttnUpBlock2D, the time
  embedding 'positional' and downsample_padding=1. `UNet.resample` is 'conv', and `groups` is given
  unless all norms have the same number of groups;
- `DiTTransformer2DModel` with norm_eps=1e-6. `DiT.freq_shift` is 1, `expansion` 4, and images are
  square. A DiT without classes is one whose embedding of labels is zero.

Time in diffusers is `network.time_scale` (1000) times the time here.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax.errors import UserError
from genjax.networks.convert import dit, unet
from genjax.networks.dit import DiT
from genjax.networks.unet import UNet

__all__ = ['check_config', 'config_of', 'from_diffusers', 'is_convertible', 'to_diffusers']

_KINDS: dict[type, ModuleType] = {UNet: unet, DiT: dit}
_SHOWN = 3  # names per message


def is_convertible(network: Any) -> bool:
    """Returns whether diffusers has such a network."""
    return type(network) in _KINDS


def to_diffusers(params: Any, network: nn.Module) -> dict[str, np.ndarray]:
    """Converts the parameters of a `UNet` or `DiT` for diffusers.

    Args:
        params: the tree `params` of the network.
        network: the network.

    Returns:
        The model's parameters by name, contiguous arrays.

    Raises:
        UserError: diffusers has no such network.
    """
    kind, ours = _kind(network), _by_path(params)
    shapes = {path: np.shape(array) for path, array in ours.items()}
    kind.config_of(network, shapes)
    found = {name: np.zeros(shape, np.float32) for name, shape in kind.constants(network).items()}
    for path, (names, layout) in kind.table(network, shapes, {}).items():
        for name, array in zip(names, layout.split(np.asarray(ours[path])), strict=True):
            found[name] = np.ascontiguousarray(array)
    return found


def from_diffusers(
    state_dict: Mapping[str, np.ndarray], network: nn.Module, *, flip_sin_to_cos: bool = True
) -> dict[str, Any]:
    """Converts the parameters of a model of Hugging Face's diffusers for a `UNet` or `DiT`.

    Required fields of a `UNet`:

    - `features` block_out_channels, `num_blocks` layers_per_block, `head_features`
      attention_head_dim, `groups` norm_num_groups (norm_eps is 1e-5), `freq_shift` freq_shift;
    - `attention_at` the heights of the levels with attention, in both paths;
    - `scale_shift` True for resnet_time_scale_shift='scale_shift', False for 'default'; the former
      also needs attn_norm_num_groups, otherwise the middle has no norm;
    - `num_classes` num_class_embeds - 1 if the last class is the null label; or num_class_embeds,
      and the null label's embedding is set to zero.

    Args:
        state_dict: the model's parameters by name, as NumPy arrays.
        network: the target network.
        flip_sin_to_cos: value of that option of a `UNet2DModel`.

    Returns:
        The tree `params` of `network.apply({'params': params}, x, time)`, float32.

    Raises:
        UserError: a parameter is missing, left over or of another shape.
    """
    kind, wanted = _kind(network), _shapes(network)
    shapes = {path: leaf.shape for path, leaf in _by_path(wanted).items()}
    kind.config_of(network, shapes)
    entries = kind.table(network, shapes, {'flip_sin_to_cos': flip_sin_to_cos})
    zeros = kind.constants(network)

    known = {name for entry in entries.values() for name in entry.names} | zeros.keys()
    _complain('are missing', known - state_dict.keys())
    _complain('do not belong to the network', state_dict.keys() - known)
    _complain('are not zero', {name for name in zeros if np.any(state_dict[name])})

    values = {}
    for path, (names, layout) in entries.items():
        expected = layout.split(np.broadcast_to(np.float32(0), shapes[path]))
        found = [np.asarray(state_dict[name], np.float32) for name in names]
        for i, (name, like) in enumerate(zip(names, expected, strict=True)):
            if path.startswith('label.') and len(found[i]) == len(like) - 1:
                found[i] = np.pad(found[i], ((0, 1), (0, 0)))  # zero embedding of the null label
            if found[i].shape != like.shape:
                raise UserError(
                    f'from_diffusers: {name} has shape {found[i].shape}, the network needs'
                    f' {like.shape}'
                )
        values[path] = jnp.asarray(layout.join(found))
    return jax.tree.unflatten(jax.tree.structure(wanted), values.values())


def config_of(network: nn.Module) -> dict[str, Any]:
    """Returns the `config.json` of the model of diffusers with the network's outputs.

    Raises:
        UserError: there is none.
    """
    kind = _kind(network)
    shapes = {path: leaf.shape for path, leaf in _by_path(_shapes(network)).items()}
    return {'_class_name': kind.CLASS, **kind.config_of(network, shapes)}


def check_config(config: Mapping[str, Any], network: nn.Module) -> None:
    """Compares the `config.json` of a model of diffusers with a network.

    Raises:
        UserError: naming the settings in which they differ.
    """
    free = {'sample_size', 'dropout', 'flip_sin_to_cos'}
    if isinstance(network, UNet):
        classes = config.get('num_class_embeds')
        free |= {'num_class_embeds'} if classes == network.num_classes else set()
        free |= set() if network.scale_shift else {'attn_norm_num_groups'}
    differing = [
        f'{name} is {config[name]!r} there and {value!r} here'
        for name, value in config_of(network).items()
        if name in config and name not in free and config[name] != value
    ]
    if differing:
        raise UserError(f'the {type(network).__name__} is another one: {"; ".join(differing)}')


def _kind(network: nn.Module) -> ModuleType:
    if type(network) not in _KINDS:
        raise UserError(f'diffusers has no {type(network).__name__}, only a UNet or a DiT')
    if network.context_shape is not None:
        raise UserError(
            f'a {type(network).__name__} in diffusers takes labels, not contexts'
            f' (context_shape={network.context_shape})'
        )
    return _KINDS[type(network)]


def _shapes(network: nn.Module) -> Any:
    label = None if network.num_classes is None else jnp.zeros(1, jnp.int32)
    x = jnp.zeros((1, *network.shape))
    return jax.eval_shape(network.init, jax.random.key(0), x, jnp.zeros(1), label)['params']


def _by_path(params: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator='.'): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def _complain(what: str, names: Iterable[str]) -> None:
    names = sorted(names)
    if names:
        shown = ', '.join(names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')
        raise UserError(f'from_diffusers: {len(names)} parameters {what}: {shown}')
