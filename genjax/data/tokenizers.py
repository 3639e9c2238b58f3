"""Text and images as tokens 0..vocab_size-1, and back."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError, how_to_install, nearest

END = '\n'
_END_TOKENS = ('<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>', '[EOS]', '[SEP]')


class Tokenizer(Protocol):
    """Maps text to tokens one to one."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""

    @property
    def end(self) -> int:
        """The token that ends a line, and a text that others follow."""

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

    @property
    def end(self) -> int:
        return self.alphabet.index(END)

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
    end: ClassVar[int] = ord(END)

    def encode(self, text: str) -> np.ndarray:
        """Returns int32 [T], T the number of bytes."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text; bytes that are not UTF-8 become the replacement character."""
        return np.asarray(tokens).astype(np.uint8).tobytes().decode(errors='replace')


@dataclass(frozen=True)
class TokenizerFile:
    """A tokenizer of the library `tokenizers`, such as Hugging Face's `tokenizer.json`.

    The end token is the special token of one of the usual names (`<|endoftext|>`, `</s>`, `<eos>`,
    `[SEP]`, …). No special tokens are added to a text, and none are shown.

    Attributes:
        path: the file.
    """

    path: str

    @property
    def vocab_size(self) -> int:
        return _library_tokenizer(self.path).get_vocab_size()

    @property
    def end(self) -> int:
        """The end token; raises UserError if the file declares none."""
        tokenizer = _library_tokenizer(self.path)
        found = [end for end in map(tokenizer.token_to_id, _END_TOKENS) if end is not None]
        if not found:
            raise UserError(f'{self.path} has none of the end tokens {", ".join(_END_TOKENS)}')
        return found[0]

    def encode(self, text: str) -> np.ndarray:
        """Returns int32 [T]."""
        found = _library_tokenizer(self.path).encode(text, add_special_tokens=False)
        return np.array(found.ids, np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """Returns the text, without special tokens."""
        return _library_tokenizer(self.path).decode(np.asarray(tokens).tolist())


@functools.lru_cache(maxsize=4)
def _library_tokenizer(path: str) -> Any:
    if not Path(path).is_file():
        known = "'chars', 'bytes' or a file beside the text, such as 'tokenizer.json'"
        raise UserError(
            f'there is no tokenizer {path!r}{nearest(Path(path).name, ("chars", "bytes"))}: give '
            f'{known}'
        )
    try:
        from tokenizers import Tokenizer as Library
    except ImportError:
        raise UserError(
            f'{path} needs the library tokenizers: {how_to_install("tokenizers")}'
        ) from None
    try:
        return Library.from_file(path)
    except Exception as error:  # the library raises Exception itself
        raise UserError(f'cannot read the tokenizer {path}: {error}') from None


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
