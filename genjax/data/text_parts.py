"""Reads the texts of `Text`, encodes them, and divides them into splits."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genjax.data import held_out
from genjax.data.array_store import RowWriter, StreamedSource, stamp, stored
from genjax.data.class_labels import Classes
from genjax.data.documents import Documents
from genjax.data.held_out import PLACE
from genjax.data.sources import InMemorySource, Source
from genjax.data.splits import SPLITS
from genjax.data.table_files import TableFiles
from genjax.data.tokenizers import END, Bytes, Characters, Tokenizer, TokenizerFile
from genjax.errors import UserError
from genjax.files import local

if TYPE_CHECKING:
    from genjax.data.text import Text

Parts = dict[str, dict[str, np.ndarray]]
"""Tokens [n], or rows [n, context] and labels [n], of the files of each name that replaces
`{split}`; of the training texts, if they are many, by split.
"""


class WindowSource:
    """A `Source` of windows of one long token sequence, sliced on access.

    Attributes:
        fingerprint: sha256 of the tokens, in hexadecimal.
    """

    def __init__(self, tokens: np.ndarray, length: int, stride: int, in_memory: bool = True):
        self.in_memory = in_memory
        self._starts = range(0, len(tokens) - length + 1, stride)
        self._tokens = tokens
        self._window = np.arange(length)
        self._stride = stride
        identity = {'x': tokens, 'window': np.array([length, stride])}
        self.fingerprint = InMemorySource(identity).fingerprint

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        starts = np.asarray(indices) * self._stride
        return {'x': self._tokens[starts[:, None] + self._window]}


def _shares(text: 'Text') -> dict[str, float]:
    """Shares of the training data to hold out, by split."""
    both = {'validation': text.validation, 'test': text.test}
    return {name: share for name, share in both.items() if not isinstance(share, str) and share}


def _collection(text: 'Text', split: str) -> str:
    """Returns the name of the files that a split is read from."""
    named = {'validation': text.validation, 'test': text.test or text.validation}.get(split)
    return named if isinstance(named, str) else 'train'


@functools.lru_cache(maxsize=8)
def _documents(text: 'Text', name: str, folder: str) -> tuple[Documents, dict[str, str]]:
    """Returns the texts of a collection, and those that are left out."""
    del folder  # part of the cache key only: the path may be relative
    documents = Documents.at(text.path.replace(PLACE, name), text.column, text.label)
    return documents.readable(text.on_error == 'skip')


def _collections(text: 'Text', folder: str) -> dict[str, Documents]:
    names = dict.fromkeys(_collection(text, split) for split in SPLITS)
    return {name: _documents(text, name, folder)[0] for name in names}


@functools.lru_cache(maxsize=8)
def tokenizer_of(text: 'Text', folder: str) -> Tokenizer:
    """Returns what maps the text to tokens; `folder` is the current one."""
    if text.tokenizer == 'bytes':
        tokenizer: Tokenizer = Bytes()
    elif text.tokenizer == 'chars':
        alphabet = {END}  # always: the last line may lack a line break
        for documents in _collections(text, folder).values():
            for content, _ in documents.texts():
                alphabet.update(content)
        tokenizer = Characters.of(''.join(alphabet))
    else:
        place = Path(local(text.path.partition(PLACE)[0]))
        beside = place if place.is_dir() else place.parent
        tokenizer = TokenizerFile(str(beside / local(text.tokenizer)))
    if text.vocab_size is not None and tokenizer.vocab_size > text.vocab_size:
        raise UserError(
            f'{text.path!r} has {tokenizer.vocab_size} different tokens, and the model is made for '
            f'{text.vocab_size}: set vocab_size in the data set and in the model'
        )
    return tokenizer


def _pieces(text: 'Text', folder: str) -> Iterator[tuple[str, np.ndarray, object]]:
    """Yields the part of `Parts` that each text belongs to, its tokens or rows, and its label."""
    tokenizer = tokenizer_of(text, folder)
    for name, documents in _collections(text, folder).items():
        members = None
        if name == 'train' and not documents.single:
            hashes = documents.hashes()
            members = np.full(len(hashes), 'validation')
            for split, portion in held_out.portions(_shares(text)).items():
                members[portion.rows(hashes)] = split
        for number, (content, label) in enumerate(documents.texts()):
            part = name if members is None else f'train/{members[number]}'
            if text.by == 'line':
                yield part, _rows(text, tokenizer, content, number), label
            else:
                end = [] if documents.single else [tokenizer.end]
                yield part, np.append(tokenizer.encode(content), end).astype(np.int32), label


def _rows(text: 'Text', tokenizer: Tokenizer, content: str, number: int) -> np.ndarray:
    """Returns the lines of a text, or the text of a row of a table, as rows [n, context]."""
    lines = [content] if text.column else [line for line in content.split(END) if line]
    x = np.full((len(lines), text.context), tokenizer.end, np.int32)
    for row, line in enumerate(lines):
        tokens = tokenizer.encode(line)
        if len(tokens) >= text.context:
            raise UserError(
                f'{text.path!r} has a line of {len(tokens)} tokens: with its end it does not fit '
                f'context={text.context}'
            )
        if tokenizer.end in tokens:
            raise UserError(
                f'row {number} of {text.path!r} contains the end token: choose a tokenizer file '
                "that declares another, or by='window'"
            )
        x[row, : len(tokens)] = tokens
    return x


@functools.lru_cache(maxsize=4)
def _encoded(text: 'Text', folder: str) -> Parts:
    """Returns the tokens of all texts, in memory or memory-mapped."""
    if text.in_memory:
        pieces: dict[str, tuple[list, list]] = {}
        for part, x, label in _pieces(text, folder):
            rows, labels = pieces.setdefault(part, ([], []))
            rows.append(x)
            labels.append(label)
        arrays = {part: {'x': np.concatenate(rows)} for part, (rows, _) in pieces.items()}
        if text.label:
            for part, (_, labels) in pieces.items():
                arrays[part]['label'] = np.array(labels)
        return arrays
    identity = (
        [documents.identity for documents in _collections(text, folder).values()],
        _stamped(tokenizer_of(text, folder)),
        (text.context if text.by == 'line' else None, text.by, text.validation, text.test),
    )
    place = stored('texts', identity, functools.partial(_write, text, folder))
    arrays = {}
    for file in sorted(place.rglob('*.npy')):
        part = str(file.relative_to(place).parent)
        arrays.setdefault(part, {})[file.stem] = np.load(file, mmap_mode='r')
    return arrays


def _stamped(tokenizer: Tokenizer) -> object:
    """Identity of a tokenizer: also the content of its file."""
    file = getattr(tokenizer, 'path', None)
    return tokenizer, file and stamp(Path(file))


def _write(text: 'Text', folder: str, place: Path) -> None:
    shape = (text.context,) if text.by == 'line' else ()
    writers: dict[str, RowWriter] = {}
    labels: dict[str, list] = {}
    with contextlib.ExitStack() as stack:
        for part, x, label in _pieces(text, folder):
            if part not in writers:
                (place / part).mkdir(parents=True)
                file = stack.enter_context((place / part / 'x.npy').open('wb'))
                writers[part] = RowWriter(file, shape, np.dtype(np.int32))
            writers[part].write(x)
            labels.setdefault(part, []).append(label)
        for part, writer in writers.items():
            writer.close()
            if text.label:
                np.save(place / part / 'label.npy', np.array(labels[part]))


@functools.lru_cache(maxsize=8)
def classes_of(text: 'Text', folder: str) -> Classes | None:
    """Returns the classes of the labels, or None; `folder` is the current one."""
    if text.label is None:
        return None
    documents = _collections(text, folder)['train']
    names = TableFiles(documents.where, documents.paths).class_names(text.label)
    if names:
        return Classes(len(names), names)
    parts = _encoded(text, folder)
    labels = [parts[part]['label'] for part in sorted(parts) if part.startswith('train')]
    return Classes.of(np.concatenate(labels), f'{text.label!r} of {documents.where}')


@functools.lru_cache(maxsize=8)
def opened(text: 'Text', split: str, folder: str) -> Source:
    """Opens a split; `folder` is the current one."""
    name = _collection(text, split)
    documents, skipped = _documents(text, name, folder)
    parts = _encoded(text, folder)
    if name == 'train' and not documents.single:
        taken = 'validation' if split == 'test' and not text.test else split
        arrays = parts.get(f'train/{taken}')
    else:
        arrays = parts[name]
    if arrays is None:
        raise UserError(f'the {split} split of {text.path!r} is empty: hold out a larger share')
    size = len(arrays['x'])
    part = slice(None)
    if name == 'train' and documents.single:
        part = _part(text, split, size)
    if text.by == 'window':
        tokens = arrays['x'][part]
        if len(tokens) < text.context:
            raise UserError(f'the {split} split of {text.path!r} is shorter than one window')
        stride = 1 if split == 'train' else text.context - text.overlap
        source: Any = WindowSource(tokens, text.context, stride, text.in_memory)
    else:
        order = np.arange(size)
        if name == 'train' and documents.single:
            # RandomState's streams are frozen by NumPy's policy.
            order = np.random.RandomState(0).permutation(size)[part]
        rows = dict(arrays)
        if classes := classes_of(text, folder):
            rows['label'] = classes.labels(rows['label'], f'{text.label!r} of {documents.where}')
        if text.in_memory:
            source = InMemorySource({name: array[order] for name, array in rows.items()})
        else:
            source = StreamedSource(rows, order, lambda _, array: array, documents.where)
    source.skipped = skipped
    return source


def _part(text: 'Text', split: str, size: int) -> slice:
    """Slice of `size` tokens or lines that belongs to a split."""
    shares = _shares(text)
    held_out, test = (
        int(n * size) if n < 1 else int(n) for n in (shares.get(s, 0) for s in SPLITS[1:])
    )
    if held_out + test >= size:
        raise UserError(f'validation and test leave nothing of {text.path!r} to train on')
    if split == 'train':
        return slice(0, size - held_out - test)
    if split == 'validation' or test == 0:
        return slice(size - held_out - test, size - test)
    return slice(size - test, size)
