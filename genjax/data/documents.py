"""Texts in files: one file, a folder of them, or a column of a table."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genjax.data import held_out, table_files
from genjax.data.array_store import stamp
from genjax.data.table_files import TableFiles
from genjax.errors import UserError
from genjax.files import local

SUFFIX = '.txt'
_NAMED = 10  # unreadable files that a message names


@dataclass(frozen=True)
class Documents:
    """The texts at a path, in their order.

    Attributes:
        where: the path as given, for messages.
        paths: the files.
        column: the column of a table that is the text; None: the files are.
        label: the column of labels.
        single: whether it is one file of text, not a collection.
    """

    where: str
    paths: tuple[Path, ...]
    column: str | None = None
    label: str | None = None
    single: bool = False

    @classmethod
    def at(cls, path: str, column: str | None, label: str | None) -> 'Documents':
        """Finds the files.

        Raises:
            UserError: there are none, or no such column.
        """
        if column is not None:
            files = TableFiles.at(path)
            files.check([name for name in (column, label) if name is not None])
            if not table_files.is_text(files.schema().field(column).type):
                raise UserError(f'{column!r} of {path} is not text')
            return cls(path, files.paths, column, label)
        place = Path(local(path))
        if not place.is_dir():
            if not place.is_file():
                raise UserError(
                    f'there is no text file {path!r}: give its place with '
                    '--config.dataset.path=FILE'
                )
            return cls(path, (place,), single=True)
        found = sorted(
            Path(folder, name)
            for folder, _, names in os.walk(place, followlinks=True)
            for name in names
            if name.endswith(SUFFIX) and not name.startswith('.')
        )
        if not found:
            raise UserError(f'there are no texts (*{SUFFIX}) in the folder {path!r}')
        return cls(path, tuple(found))

    @property
    def identity(self) -> object:
        """Changes when the files do."""
        return [stamp(path) for path in self.paths], self.column, self.label

    def texts(self) -> Iterator[tuple[str, object]]:
        """Yields each text, and its label or None.

        Raises:
            UserError: files cannot be read, or a row has no text.
        """
        if self.column is None:
            for path in self.paths:
                yield _read(path), None
            return
        files, first = TableFiles(self.where, self.paths), 0
        for batch in files.batches([self.column, *([self.label] if self.label else [])]):
            texts = batch.column(self.column)
            table_files.labels(texts, f'{self.column!r} of {self.where}', first)
            labels = [None] * len(batch)
            if self.label:
                where = f'{self.label!r} of {self.where}'
                labels = table_files.labels(batch.column(self.label), where, first)
            for text, label in zip(texts.to_pylist(), labels, strict=True):
                yield text.replace('\r\n', '\n'), label
            first += len(batch)

    def readable(self, skip: bool) -> tuple['Documents', dict[str, str]]:
        """Returns the documents without the files that cannot be read, and the reasons by name.

        Raises:
            UserError: there are such files, and they are not to be skipped.
        """
        if self.column is not None:
            return self, {}
        wrong = {}
        for path in self.paths:
            try:
                _read(path)
            except OSError as error:
                wrong[str(path)] = error.strerror or str(error)
            except UnicodeDecodeError:
                wrong[str(path)] = 'it is not text in UTF-8'
        if wrong and not (skip and len(wrong) < len(self.paths)):
            shown = '; '.join(f'{name}: {why}' for name, why in [*wrong.items()][:_NAMED])
            more = f'; and {len(wrong) - _NAMED} more' if len(wrong) > _NAMED else ''
            if self.single:
                raise UserError(f'{self.where!r}: {shown.partition(": ")[2]}')
            raise UserError(
                f'{len(wrong)} of {len(self.paths)} texts of {self.where} cannot be read: {shown}'
                f"{more}; repair or remove them, or leave them out with on_error='skip'"
            )
        kept = tuple(path for path in self.paths if str(path) not in wrong)
        return Documents(self.where, kept, self.column, self.label, self.single), wrong

    def hashes(self) -> np.ndarray:
        """Returns a hash of the content of each, uint64 [N]; equal rows of a table differ."""
        found = [held_out.content_hash(text.encode()) for text, _ in self.texts()]
        hashes = np.array(found, np.uint64)
        return hashes if self.column is None else held_out.told_apart(hashes)


def _read(path: Path) -> str:
    return path.read_bytes().decode().replace('\r\n', '\n')
