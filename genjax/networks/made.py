"""The masked autoencoder of MADE, with sampled masks and orderings."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.networks.conditional import Conditional
from genjax.networks.layers import Dropout, activation_function
from genjax.networks.masked import by_degree


class MaskedAutoencoder(Conditional):
    """A multilayer perceptron whose outputs depend only on earlier inputs in an ordering (Germain
    et al., MADE, 2015).

    It has `num_masks` orderings and connectivities, fixed by `seed`, with shared weights. Each
    defines a normalised distribution; training on several regularises and allows averaging them.
    A condition is appended to the input, visible to all hidden units, and added to all outputs by
    a linear layer.

    Attributes:
        shape: the shape of one example; it is flattened.
        features: widths of the hidden layers.
        num_masks: number of sets of masks.
        natural: keep the order of the data in every set, and sample the connectivity only.
        direct: connect inputs to outputs directly as well.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate of the hidden units.
        seed: of the masks.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (500,)
    num_masks: int = 1
    natural: bool = False
    direct: bool = True
    activation: str | Callable = 'relu'
    dropout: float = 0.0
    seed: int = 0
    dtype: str = 'float32'

    def degrees(self) -> tuple[np.ndarray, ...]:
        """Computes the degree of each input and hidden unit in each set, [num_masks, width] per
        layer.

        The degree of an input is its 1-based position in the ordering. A hidden unit depends on
        inputs of at most its own degree, an output on inputs of lower degree than its own element.
        """
        # NumPy guarantees RandomState's streams: masks are part of a trained model.
        random, size = np.random.RandomState(self.seed), math.prod(self.shape)
        order = [
            np.arange(size) if self.natural else random.permutation(size)
            for _ in range(self.num_masks)
        ]
        layers = [1 + np.stack(order)]
        for width in self.features:
            lowest = [min(row.min(), max(1, size - 1)) for row in layers[-1]]
            layers.append(
                np.stack([random.randint(low, max(size, low + 1), width) for low in lowest])
            )
        return tuple(layer.astype(np.int32) for layer in layers)

    @nn.compact
    def __call__(
        self,
        x: Array,
        index: Array | int = 0,
        condition: Array | None = None,
        train: bool = False,
    ) -> Array:
        """Maps x [B, *shape] to one output per element, [B, *shape] float32, under the set of masks
        `index`. Raises a UserError if the condition is missing.
        """
        act = activation_function(self.activation)
        order, *hidden = (jnp.asarray(layer)[index] for layer in self.degrees())
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        h, before = x, order
        vector = self.condition_vector(condition, null=True)
        if vector is not None:
            h = jnp.concatenate([h, vector.astype(self.dtype)], axis=-1)
            before = jnp.concatenate([before, jnp.zeros(vector.shape[-1], before.dtype)])
        for layer, degree in enumerate(hidden):
            mask = before[:, None] <= degree
            h = act(_MaskedDense(len(degree), self.dtype, name=f'layer_{layer}')(h, mask))
            h = Dropout(self.dropout, deterministic=not train)(h)
            before = degree
        out = _MaskedDense(len(order), 'float32', name='out')(
            h.astype(jnp.float32), before[:, None] < order
        )
        if self.direct:
            # Zero-initialised; linear dependencies are learned first, and fast.
            layer = _MaskedDense(len(order), 'float32', False, nn.initializers.zeros, name='direct')
            out = out + layer(x.astype(jnp.float32), order[:, None] < order)
        if vector is not None:
            # The first element has no other inputs: no hidden unit has a lower degree.
            layer = nn.Dense(
                len(order), use_bias=False, kernel_init=nn.initializers.zeros, name='condition'
            )
            out = out + layer(vector)
        return out.reshape(-1, *self.shape)

    def initial_carry(self, num: int) -> tuple[Array, ...]:
        """Returns the hidden units of `num` examples before any is computed, for `element`."""
        return tuple(jnp.zeros((num, width), self.dtype) for width in self.features)

    def element(
        self,
        x: Array,
        carry: tuple[Array, ...],
        t: Array,
        index: Array | int = 0,
        condition: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...]]:
        """Computes the output [B] of element t, from 0, in the ordering `index` alone, and the
        carry with the units of degree t. The elements of x before it are known, all others 0; so
        are the units in the carry, and no mask is needed.
        """
        act, params = activation_function(self.activation), self.variables['params']
        order, *hidden = self.degrees()
        h = x = x.reshape(x.shape[0], -1)
        vector = self.condition_vector(condition, null=True)
        if vector is not None:
            h = jnp.concatenate([h, vector], axis=-1)
        new = []
        for layer, (degrees, units) in enumerate(zip(hidden, carry, strict=True)):
            kernel, bias = (params[f'layer_{layer}'][name] for name in ('kernel', 'bias'))
            # A number past the last unit fills up: what it takes is 0, what it gives is dropped.
            number = jnp.asarray(by_degree(degrees, order.shape[1]))[index, t]
            kernel = kernel.at[:, number].get(mode='fill', fill_value=0).astype(self.dtype)
            bias = bias.at[number].get(mode='fill', fill_value=0).astype(self.dtype)
            h = units.at[:, number].set(act(h.astype(self.dtype) @ kernel + bias), mode='drop')
            new.append(h)
        place = jnp.asarray(np.argsort(order, axis=1))[index, t]
        out = h.astype(jnp.float32) @ params['out']['kernel'][:, place]
        out = out + params['out']['bias'][place]
        if self.direct:
            out = out + x.astype(jnp.float32) @ params['direct']['kernel'][:, place]
        if vector is not None:
            out = out + vector @ params['condition']['kernel'][:, place]
        return out, tuple(new)


class _MaskedDense(nn.Module):
    """A linear layer with a mask [inputs, features] on its weights."""

    features: int
    dtype: str
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.variance_scaling(2.0, 'fan_in', 'truncated_normal')

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        kernel = self.param('kernel', self.kernel_init, (x.shape[-1], self.features))
        out = x @ (kernel * mask).astype(self.dtype)
        if self.use_bias:
            bias = self.param('bias', nn.initializers.zeros, (self.features,))
            out = out + bias.astype(self.dtype)
        return out
