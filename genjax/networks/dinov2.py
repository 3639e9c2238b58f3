"""The vision transformer of DINOv2."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.networks.attention import attend
from genjax.networks.layers import Dense, LayerNorm

HEAD = 64  # features of a head, in models of all sizes
_OFFSET = 0.1  # added to the size of the grid to which positions are interpolated
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class DINOv2(nn.Module):
    """The vision transformer of DINOv2 (Oquab et al., 2024), with registers (Darcet et al., 2024)
    or without, up to its normalised class token. Modules are named as in its checkpoints.

    Attributes:
        features: width of the residual stream; heads have 64 features.
        num_layers: number of blocks.
        hidden: hidden width of the MLPs.
        patch: side of a patch, in pixels.
        grid: side of the grid of stored position embeddings, which are interpolated.
        registers: number of register tokens.
    """

    features: int
    num_layers: int
    hidden: int
    patch: int = 14
    grid: int = 37
    registers: int = 0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps images [B, H, W, 3] of 0..255, in float or uint8, to [B, features]."""
        width, zeros = self.features, nn.initializers.zeros
        token = self.param('cls_token', zeros, (1, 1, width))
        position = self.param('pos_embed', zeros, (1, 1 + self.grid**2, width))
        x = (x.astype(jnp.float32) / 255 - jnp.array(_MEAN)) / jnp.array(_STD)
        patches = (self.patch, self.patch)
        x = nn.Conv(width, patches, patches, 'VALID', name='patch_embed.proj')(x)
        rows, columns = x.shape[1:3]
        stored = position[0, 1:].reshape(self.grid, self.grid, width)
        x = (x + self._interpolated(stored, rows, columns)).reshape(len(x), -1, width)
        tokens = [token + position[:, :1]]
        if self.registers:
            tokens.append(self.param('register_tokens', zeros, (1, self.registers, width)))
        first = jnp.concatenate(tokens, axis=1)
        x = jnp.concatenate([jnp.broadcast_to(first, (len(x), *first.shape[1:])), x], axis=1)
        for number in range(self.num_layers):
            x = _Block(self.hidden, name=f'blocks.{number}')(x)
        return LayerNorm(name='norm')(x[:, 0])

    def _interpolated(self, stored: Array, rows: int, columns: int) -> Array:
        if (rows, columns) == stored.shape[:2]:
            return stored
        if self.registers:
            return jax.image.resize(stored, (rows, columns, self.features), 'cubic')
        down, across = (_cubic_weights(size, self.grid) for size in (rows, columns))
        return jnp.einsum('ih,jw,hwc->ijc', down, across, stored)


class _Block(nn.Module):
    """Pre-LN block with a learned scale of each branch."""

    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]

        def scale(name: str) -> Array:
            return self.param(name, nn.initializers.ones, (width,))

        qkv = Dense(3 * width, name='attn.qkv')(LayerNorm(name='norm1')(x))
        q, k, v = jnp.moveaxis(qkv.reshape(*x.shape[:2], 3, -1, HEAD), 2, 0)
        h = attend(q, k, v, causal=False).reshape(x.shape)
        x = x + scale('ls1.gamma') * Dense(width, name='attn.proj')(h)
        h = Dense(self.hidden, name='mlp.fc1')(LayerNorm(name='norm2')(x))
        h = Dense(width, name='mlp.fc2')(jax.nn.gelu(h, approximate=False))
        return x + scale('ls2.gamma') * h


def _cubic_weights(new: int, old: int) -> np.ndarray:
    """Weights [new, old] of bicubic interpolation without smoothing (Keys, 1981, a = -0.75), at
    `(i + 0.5) · old / (new + 0.1) - 0.5`, with the offset of the original code for models without
    registers.
    """
    place = (np.arange(new) + 0.5) * old / (new + _OFFSET) - 0.5
    low = np.floor(place).astype(int)
    weights = np.zeros((new, old))
    for tap in range(-1, 3):
        distance = np.abs(place - low - tap)
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = -0.75 * (((distance - 5) * distance + 8) * distance - 4)
        at_border = np.clip(low + tap, 0, old - 1)
        np.add.at(weights, (np.arange(new), at_border), np.where(distance <= 1, near, far))
    return weights.astype(np.float32)
