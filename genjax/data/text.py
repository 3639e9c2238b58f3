"""Text from files, as token windows or lines."""

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genjax.data import text_parts
from genjax.data.held_out import PLACE
from genjax.data.sources import Source
from genjax.data.splits import SPLITS
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError, nearest


@dataclass(frozen=True)
class Text:
    """Text in UTF-8, from a file, a folder of `.txt` files, or a column of a table (parquet, csv,
    tsv), as rows of `context` tokens, int32.

    `by='window'`: training windows start anywhere; validation and test are cut into successive
    windows (an incomplete last one is dropped). The end of a file is the test split, preceded by
    the validation split. Texts of a folder or column belong to a split whole, by their content, so
    that further ones move none; they follow one another, each with an end token.

    `by='line'`: a row is a line, or a text of a column, an end token, and end tokens as padding;
    the model's `end` must be this token. Lines of a file are shuffled in one fixed random order
    before they are split. Empty lines are dropped.

    The end token is the line break (characters: 0 unless the text has lower code points; bytes:
    10), or the one that a tokenizer file declares.

    Attributes:
        path: the file, folder, or files of the table; `{split}` stands for the name of a split.
        tokenizer: 'chars', the distinct characters of the text in the order of their code points;
            'bytes'; or a file of the library `tokenizers`, such as 'tokenizer.json', beside the
            text.
        context: tokens per row.
        by: 'window' or 'line'.
        validation: fraction of the text held out for validation (below 1), or, of a file, number of
            tokens or lines; or the name that replaces `{split}`.
        test: likewise; 0: the validation split is the test split as well.
        overlap: tokens that a held-out window shares with the previous one; an evaluator that
            conditions on them scores every token but the very first ones once.
        vocab_size: vocabulary of the model; a text with more tokens is refused.
        column: the column of a table that is the text.
        label: the column of class labels of its rows, with `by='line'`.
        in_memory: keep the tokens in memory; False: stream them from genjax's cache.
        on_error: 'raise' refuses files that cannot be read, and names them; 'skip' leaves them out,
            and a run records them.
    """

    path: str
    tokenizer: str = 'chars'
    context: int = 64
    by: Literal['window', 'line'] = 'window'
    validation: float | str = 0.05
    test: float | str = 0.05
    overlap: int = 0
    vocab_size: int | None = None
    column: str | None = None
    label: str | None = None
    in_memory: bool = True
    on_error: Literal['raise', 'skip'] = 'raise'

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    def __post_init__(self):
        if self.context < 2 or not 0 <= self.overlap < self.context:
            raise UserError(
                f'context={self.context} must be at least 2, and overlap={self.overlap} less'
            )
        shares = [share for share in (self.validation, self.test) if not isinstance(share, str)]
        if self.validation == 0 or any(share < 0 for share in shares):
            raise UserError('validation must be more than 0, and test at least 0')
        if PLACE not in self.path and len(shares) < 2:
            raise UserError(f'path={self.path!r} has no {PLACE} for the name of a split')
        if self.label is not None and (self.column is None or self.by != 'line'):
            raise UserError("label is a column beside that of the text: give column, and by='line'")

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.context,)

    @property
    def num_values(self) -> int:
        """The number of tokens; except for bytes, the text must be there."""
        return self.tokens.vocab_size

    @property
    def tokens(self) -> Tokenizer:
        """Maps text to tokens; except for bytes, the text must be there."""
        return text_parts.tokenizer_of(self, os.getcwd())

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        classes = text_parts.classes_of(self, os.getcwd())
        return classes.num if classes else None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None if they have none."""
        classes = text_parts.classes_of(self, os.getcwd())
        return classes.names if classes else None

    def source(self, split: str) -> Source:
        """Returns the rows of `'train'`, `'validation'` or `'test'`.

        Raises:
            UserError: the text or split does not exist, or the text does not fit the fields.
        """
        if split not in SPLITS:
            raise UserError(f'there is no split {split!r}{nearest(split, SPLITS)}')
        return text_parts.opened(self, split, os.getcwd())

    def texts(self, x: np.ndarray) -> list[str]:
        """Returns rows of tokens [N, T] as text; lines end at their end token."""
        rows = np.asarray(x)
        if self.by == 'line':
            end = self.tokens.end
            rows = [row[: np.argmax(np.append(row, end) == end)] for row in rows]
        return [self.tokens.decode(row) for row in rows]

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Renames the tokenizers of older configs."""
        renamed = {'char': 'chars', 'byte': 'bytes'}
        if 'tokenizer' in fields:
            fields['tokenizer'] = renamed.get(fields['tokenizer'], fields['tokenizer'])
        return fields
