"""Text and images as tokens 0..vocab_size-1, and back."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError


class Tokenizer(Protocol):
    """Maps text to tokens one to one."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""

    def encode(self, text: str) -> np.ndarray:
        """Returns the tokens of a text, int32 [T]."""

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text of tokens [T]."""


@dataclass(frozen=True)
class Characters:
    """One token per character.

    Attributes:
        alphabet: the characters; the token is the index.
    """

    alphabet: str

    @classmethod
    def of(cls, text: str) -> 'Characters':
        """Alphabet of a text, in the order of code points."""
        return cls(''.join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> np.ndarray:
        """Returns int32 [T]; raises UserError at a character outside the alphabet."""
        place = {character: token for token, character in enumerate(self.alphabet)}
        try:
            return np.fromiter((place[character] for character in text), np.int32, len(text))
        except KeyError as error:
            raise UserError(f'the character {error} is not in the alphabet') from None

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text."""
        return ''.join(self.alphabet[token] for token in np.asarray(tokens).tolist())


@dataclass(frozen=True)
class Bytes:
    """One token per byte of UTF-8."""

    vocab_size: ClassVar[int] = 256

    def encode(self, text: str) -> np.ndarray:
        """Returns int32 [T], T the number of bytes."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text; bytes that are not UTF-8 become the replacement character."""
        return np.asarray(tokens).astype(np.uint8).tobytes().decode(errors='replace')


@dataclass(frozen=True)
class Pixels:
    """Preprocessing step: images 0..255 [B, H, W, C] as tokens int32 [B, H * W * C].

    In raster order, channels last. With 256 levels the tokens are the data; with fewer, pixels are
    quantised to `levels` equal parts of their range, which are then the data, so that the
    log-determinant is 0.

    Attributes:
        shape: (height, width, channels) of an image.
        levels: number of token values.
    """

    shape: tuple[int, ...]
    levels: int = 256

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        if not 2 <= self.levels <= 256:
            raise UserError(f'levels={self.levels} must be between 2 and 256')

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns the tokens; `key` is not used."""
        del key
        if x.shape[1:] != tuple(self.shape):
            raise UserError(f'Pixels is made for pictures {self.shape}, not {x.shape[1:]}')
        tokens = x.reshape(len(x), -1).astype(jnp.int32) * self.levels // 256
        return tokens, jnp.zeros(len(x), jnp.float32)

    def inverse(self, y: Array) -> Array:
        """Returns images in 0..255: the levels spread evenly over the range."""
        return y.reshape(len(y), *self.shape).astype(jnp.float32) * (255 / (self.levels - 1))
