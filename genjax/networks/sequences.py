"""Causal networks over sequences of tokens or frames: recurrent and convolutional.

Each has `shape` and `vocab_size` and maps a whole sequence (`__call__`), or one element at a time
with the state in an explicit pytree (`initial_carry`, `step`).
"""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.networks.conditional import Conditional
from genjax.networks.layers import Dropout, activation_function


def check_sequence(network: nn.Module) -> None:
    """Raises a UserError unless `shape` and `vocab_size` of a network fit each other."""
    name, shape, tokens = type(network).__name__, network.shape, network.vocab_size is not None
    if len(shape) != (1 if tokens else 2):
        expected = '(length,) of tokens' if tokens else '(length, width) of frames'
        raise UserError(f'{name}.shape={tuple(shape)} must be {expected}')


class SequenceInput(nn.Module):
    """The first layer: token embedding, or a linear layer on frames. A linear map of the condition
    is added at each position.

    Attributes:
        vocab_size: number of tokens, without the special token `vocab_size`; None: frames.
        features: width of the output.
        dtype: of the output.
    """

    vocab_size: int | None
    features: int
    dtype: str = 'float32'

    def setup(self):
        init = nn.initializers.normal(0.02)
        if self.vocab_size is None:
            self.layer = nn.Dense(self.features, dtype=self.dtype)
        else:
            self.layer = nn.Embed(
                self.vocab_size + 1, self.features, dtype=self.dtype, embedding_init=init
            )
        self.condition = nn.Dense(self.features, use_bias=False, kernel_init=init, dtype=self.dtype)

    def __call__(self, x: Array, condition: Array | None = None) -> Array:
        """Maps int32 [B, T] or frames [B, T, width], and a condition vector [B, F], to
        [B, T, features].
        """
        x = self.layer(x)
        return x if condition is None else x + self.condition(condition)[:, None]

    def attend(self, x: Array) -> Array:
        """Computes the inner products [B, T, vocab_size] with the embeddings of all tokens but the
        special one, in float32.
        """
        return x.astype(jnp.float32) @ self.layer.embedding[: self.vocab_size].T


class Recurrent(Conditional):
    """Stacked recurrent layers. A condition is added to the embedding of every input.

    Attributes:
        shape: (length,) of tokens, or (length, width) of frames; any length can be processed.
        vocab_size: number of tokens; None: frames. Inputs may also contain the token
            `vocab_size`, which is never predicted.
        features: units of each layer.
        num_layers: layers.
        cell: 'lstm' (Hochreiter & Schmidhuber, 1997) or 'gru' (Cho et al., 2014).
        dropout: dropout rate before each layer and before the output.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    vocab_size: int | None = None
    features: int = 256
    num_layers: int = 1
    cell: Literal['lstm', 'gru'] = 'lstm'
    dropout: float = 0.0
    dtype: str = 'float32'

    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps int32 [B, T] to logits [B, T, vocab_size], or frames [B, T, width] to the same
        shape, float32. Raises a UserError if the condition is missing.
        """
        return self._run(x, self.initial_carry(x.shape[0]), condition, train)[0]

    def initial_carry(self, num: int) -> Any:
        """Returns the initial state of `num` sequences."""
        zeros = jnp.zeros((num, self.features), self.dtype)
        return ((zeros, zeros) if self.cell == 'lstm' else zeros,) * self.num_layers

    def step(
        self, x: Array, carry: Any, position: Array, condition: Array | None = None
    ) -> tuple[Array, Any]:
        """Processes one element x [B] or [B, width]; returns its output and the new state."""
        del position
        out, carry = self._run(x[:, None], carry, condition, False)
        return out[:, 0], carry

    @nn.compact
    def _run(self, x: Array, carry: Any, condition: Array | None, train: bool) -> tuple[Array, Any]:
        check_sequence(self)
        cell = {'lstm': nn.OptimizedLSTMCell, 'gru': nn.GRUCell}[self.cell]
        drop = Dropout(self.dropout, deterministic=not train)
        embed = SequenceInput(self.vocab_size, self.features, self.dtype, name='input')
        x = embed(x, self.condition_vector(condition, null=True))
        new = []
        for layer, state in enumerate(carry):
            rnn = nn.RNN(
                cell(self.features, dtype=self.dtype), return_carry=True, name=f'layer_{layer}'
            )
            state, x = rnn(drop(x), initial_carry=state)
            new.append(state)
        self.sow('intermediates', 'features', x)
        x = drop(x).astype(jnp.float32)
        width = self.vocab_size or self.shape[-1]
        return nn.Dense(width, dtype='float32', name='out')(x), tuple(new)


class TCN(Conditional):
    """Temporal convolutional network (Bai et al., 2018): residual blocks of two causal convolutions
    each, the dilation doubling from block to block.

    Weights are normalised (Salimans & Kingma, 2016) as in the paper. A condition is added to the
    embedding of every input.

    Attributes:
        shape: (length,) of tokens, or (length, width) of frames; any length can be processed.
        vocab_size: number of tokens; None: frames. Inputs may also contain the token
            `vocab_size`, which is never predicted.
        features: channels.
        num_layers: number of blocks; the receptive field is 1 + 2 (kernel_size - 1)
            (2^num_layers - 1) inputs.
        kernel_size: of the convolutions.
        activation: a name in `jax.nn` or a function.
        dropout: dropout rate of channels, shared by all times, after each convolution.
        dtype: computation dtype; parameters and the output are float32.
    """

    shape: tuple[int, ...]
    vocab_size: int | None = None
    features: int = 150
    num_layers: int = 4
    kernel_size: int = 5
    activation: str | Callable = 'relu'
    dropout: float = 0.0
    dtype: str = 'float32'

    def __call__(self, x: Array, condition: Array | None = None, train: bool = False) -> Array:
        """Maps int32 [B, T] to logits [B, T, vocab_size], or frames [B, T, width] to the same
        shape, float32. Raises a UserError if the condition is missing.
        """
        return self._run(x, self.initial_carry(x.shape[0]), condition, train)[0]

    def initial_carry(self, num: int) -> Any:
        """Returns zeros as the history of each convolution for `num` sequences."""
        return tuple(
            jnp.zeros((num, (self.kernel_size - 1) * 2**layer, self.features), self.dtype)
            for layer in range(self.num_layers)
            for _ in range(2)
        )

    def step(
        self, x: Array, carry: Any, position: Array, condition: Array | None = None
    ) -> tuple[Array, Any]:
        """Processes one element x [B] or [B, width]; returns its output and the new history."""
        del position
        out, carry = self._run(x[:, None], carry, condition, False)
        return out[:, 0], carry

    @nn.compact
    def _run(self, x: Array, carry: Any, condition: Array | None, train: bool) -> tuple[Array, Any]:
        check_sequence(self)
        act = activation_function(self.activation)
        drop = Dropout(self.dropout, broadcast_dims=(1,), deterministic=not train)
        embed = SequenceInput(self.vocab_size, self.features, self.dtype, name='input')
        x = embed(x, self.condition_vector(condition, null=True))
        new = []
        for layer in range(self.num_layers):
            h = x
            for past in carry[2 * layer : 2 * layer + 2]:
                h = jnp.concatenate([past, h], axis=1)
                new.append(h[:, h.shape[1] - past.shape[1] :])
                convolution = nn.Conv(
                    self.features,
                    (self.kernel_size,),
                    kernel_dilation=2**layer,
                    padding='VALID',
                    dtype=self.dtype,
                )
                h = drop(act(nn.WeightNorm(convolution)(h)))
            x = act(x + h)
        self.sow('intermediates', 'features', x)
        width = self.vocab_size or self.shape[-1]
        out = nn.Dense(width, dtype='float32', name='out')
        return out(x.astype(jnp.float32)), tuple(new)
