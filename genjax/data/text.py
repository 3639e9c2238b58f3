"""Text from a file, as token windows or lines."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from genjax.data.sources import InMemorySource, Source
from genjax.data.splits import SPLITS
from genjax.data.tokenizers import Bytes, Characters, Tokenizer
from genjax.errors import UserError, nearest
from genjax.files import local

END = '\n'


class WindowSource:
    """A `Source` of windows of one long token sequence, sliced on access.

    Attributes:
        fingerprint: sha256 of the tokens, in hexadecimal.
    """

    in_memory = True

    def __init__(self, tokens: np.ndarray, length: int, stride: int):
        self._starts = np.arange(0, len(tokens) - length + 1, stride)
        self._tokens = tokens
        self._window = np.arange(length)
        identity = {'x': tokens, 'window': np.array([length, stride])}
        self.fingerprint = InMemorySource(identity).fingerprint

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {'x': self._tokens[self._starts[indices][:, None] + self._window]}


@dataclass(frozen=True)
class Text:
    """A text file in UTF-8, as rows of `context` tokens, int32.

    `by='window'`: training windows start anywhere; validation and test are cut into successive
    windows (an incomplete last one is dropped). The end of the text is the test split, preceded by
    the validation split.

    `by='line'`: a row is a line, an end token (the line break), and end tokens as padding; the
    model's `end` must be this token. Lines are shuffled in one fixed random order before they are
    split. The end token is 0 (characters) or 10 (bytes); empty lines are dropped.

    Attributes:
        path: the file.
        tokenizer: 'char', the distinct characters of the file in the order of their code points;
            or 'byte'.
        context: tokens per row.
        by: 'window' or 'line'.
        validation: fraction of the text held out for validation (below 1), or number of tokens or
            lines.
        test: likewise; 0: the validation split is the test split as well.
        overlap: tokens that a held-out window shares with the previous one; an evaluator that
            conditions on them scores every token but the very first ones once.
        vocab_size: vocabulary of the model; a file with more tokens is refused.
    """

    path: str
    tokenizer: Literal['char', 'byte'] = 'char'
    context: int = 64
    by: Literal['window', 'line'] = 'window'
    validation: float = 0.05
    test: float = 0.05
    overlap: int = 0
    vocab_size: int | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    num_classes: ClassVar[None] = None

    def __post_init__(self):
        if self.context < 2 or not 0 <= self.overlap < self.context:
            raise UserError(
                f'context={self.context} must be at least 2, and overlap={self.overlap} less'
            )
        if self.validation <= 0 or self.test < 0:
            raise UserError('validation must be more than 0, and test at least 0')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.context,)

    @property
    def num_values(self) -> int:
        """The number of tokens; for characters, the file must be there."""
        return self.tokens.vocab_size

    @property
    def tokens(self) -> Tokenizer:
        """Maps text to tokens; for characters, the file must be there."""
        return _read(self.path, self.tokenizer, self.vocab_size)[1]

    def source(self, split: str) -> Source:
        """Returns the rows of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the file or split does not exist, or the file does not fit the fields.
        """
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return _open(self, split)

    def texts(self, x: np.ndarray) -> list[str]:
        """Returns rows of tokens [N, T] as text; lines end at their end token."""
        texts = [self.tokens.decode(row) for row in np.asarray(x)]
        return [text.partition(END)[0] for text in texts] if self.by == 'line' else texts


@functools.lru_cache(maxsize=8)
def _open(text: Text, split: str) -> Source:
    content, tokenizer = _read(text.path, text.tokenizer, text.vocab_size)
    if text.by == 'window':
        tokens = tokenizer.encode(content)
        part = tokens[_part(text, split, len(tokens))]
        stride = 1 if split == 'train' else text.context - text.overlap
        if len(part) < text.context:
            raise UserError(f'the {split} split of {text.path!r} is shorter than one window')
        return WindowSource(part, text.context, stride)
    lines = [line for line in content.split(END) if line]
    # RandomState's streams are frozen by NumPy's policy.
    order = np.random.RandomState(0).permutation(len(lines))[_part(text, split, len(lines))]
    end = int(tokenizer.encode(END)[0])
    x = np.full((len(order), text.context), end, np.int32)
    for row, number in enumerate(order):
        tokens = tokenizer.encode(lines[number])
        if len(tokens) >= text.context:
            raise UserError(
                f'{text.path!r} has a line of {len(tokens)} tokens: with its end it does not fit '
                f'context={text.context}'
            )
        x[row, : len(tokens)] = tokens
    return InMemorySource({'x': x})


def _part(text: Text, split: str, size: int) -> slice:
    """Slice of `size` tokens or lines that belongs to a split."""
    held_out, test = (int(n * size) if n < 1 else int(n) for n in (text.validation, text.test))
    if held_out + test >= size:
        raise UserError(f'validation and test leave nothing of {text.path!r} to train on')
    if split == 'train':
        return slice(0, size - held_out - test)
    if split == 'validation' or test == 0:
        return slice(size - held_out - test, size - test)
    return slice(size - test, size)


@functools.lru_cache(maxsize=4)
def _read(path: str, kind: str, vocab_size: int | None) -> tuple[str, Tokenizer]:
    file = Path(local(path))
    try:
        content = file.read_bytes().decode()
    except OSError:
        raise UserError(
            f'there is no text file {path!r}: give its place with --config.dataset.path=FILE'
        ) from None
    except UnicodeDecodeError:
        raise UserError(f'{path!r} is not text in UTF-8') from None
    content = content.replace('\r\n', END)
    # Always include the end token: the last line may lack a line break.
    tokenizer = Characters.of(content + END) if kind == 'char' else Bytes()
    if vocab_size is not None and tokenizer.vocab_size > vocab_size:
        raise UserError(
            f'{path!r} has {tokenizer.vocab_size} different tokens, and the model is made for '
            f'{vocab_size}: set vocab_size in the data set and in the model'
        )
    return content, tokenizer
