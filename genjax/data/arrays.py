"""Arrays of the user: from .npz and .npy files, or from Python."""

import functools
import hashlib
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jax import Array

from genjax.data import held_out
from genjax.data.array_store import cache_folder, stamp, stored
from genjax.data.held_out import PLACE, Splits
from genjax.data.own_data import Collection, Opened, OwnData, opened
from genjax.errors import UserError, nearest
from genjax.files import local, replacing

_NAMES = ('x', 'label', 'context')


@dataclass(frozen=True)
class Arrays(OwnData):
    """Arrays from a .npz or .npy file, `Arrays('x.npz', x='images', label='labels')`, or from
    Python, `Arrays(x=images, label=labels)`.

    Of a .npy file, which holds x, `label` and `context` are the names of further .npy files beside
    it. Arrays from Python are written to a file in genjax's cache, named by their content, which is
    what a config records: the run can be resumed and used as long as it is there, or the same
    arrays are given again.

    x [N, ...] becomes uint8 (of uint8 and truth values), int32 (of other whole numbers) or float32;
    uint8 [N, H, W] are images [H, W, 1], and [N] are rows of one number. Labels [N] are 0..K-1
    without gaps, names, or -1 for unlabelled.

    Attributes:
        path: the file; `{split}`, here or in a name, stands for the name of a split.
        x: the array of examples; None: the only one of the file.
        label: the array of class labels, if there is one.
        context: the array of conditions [N, ...], if there is one.
        splits: a share held out of the training data, or a name that replaces `{split}`, for each
            split. Which examples a share holds out depends on their content alone.
        in_memory: read the arrays into memory; False: stream from the file (a .npz is unpacked into
            the cache once).
    """

    path: str | None = None
    x: str | Array | None = None
    label: str | Array | None = None
    context: str | Array | None = None
    splits: Splits = field(default_factory=held_out.tenths, hash=False)
    in_memory: bool = True

    PATHS: ClassVar[tuple[str, ...]] = ('path',)
    FREE: ClassVar[tuple[str, ...]] = ('in_memory',)

    def __post_init__(self):
        if self.path is None:
            for name, value in _written({name: getattr(self, name) for name in _NAMES}).items():
                object.__setattr__(self, name, value)
        names = [getattr(self, name) for name in _NAMES]
        for name, value in zip(_NAMES, names, strict=True):
            if not isinstance(value, str | None):
                raise UserError(f'Arrays: with a path, {name} is the name of an array in it')
        held_out.check(self.splits, ' '.join(filter(None, (self.path, *names))))

    @property
    def _opened(self) -> Opened:
        return _open(self, os.getcwd())


@functools.lru_cache(maxsize=4)
def _open(arrays: Arrays, folder: str) -> Opened:
    del folder  # part of the cache key only: the path may be relative
    names = {name: getattr(arrays, name) for name in _NAMES}

    def read(split: str) -> Collection:
        path = arrays.path.replace(PLACE, split)
        there = {n: v.replace(PLACE, split) for n, v in names.items() if v is not None}
        loaded = _load(path, there, arrays.in_memory)
        where = {n: f'{there.get(n, n)!r} of {path}' for n in loaded}
        _check_numbers(loaded, where)
        if 'label' in loaded:
            loaded['label'] = _one_each(loaded['label'], where['label'])
        for name, array in loaded.items():
            if len(array) != len(loaded['x']):
                raise UserError(
                    f'{where[name]} has {len(array)} rows, and {where["x"]} has {len(loaded["x"])}'
                )
        file = Path(local(path))
        beside = [file.parent / name for name in there.values() if file.suffix == '.npy']
        identity = (there, [stamp(f) for f in (file, *beside) if f.exists()])
        return Collection(loaded, path, identity)

    return opened(arrays.splits, read, arrays.in_memory)


def _load(path: str, names: Mapping[str, str], in_memory: bool) -> dict[str, np.ndarray]:
    """Returns the arrays of a file by what they are: 'x' and, if named, 'label' and 'context'."""
    file = Path(local(path))
    if file.suffix not in ('.npz', '.npy'):
        raise UserError(f'Arrays reads .npz and .npy files, and path={path!r} is none')
    if not file.is_file():
        raise UserError(f'there is no file {path!r}: give its place with --config.dataset.path=…')
    try:
        if file.suffix == '.npy':
            files = {'x': file, **{n: file.parent / v for n, v in names.items() if n != 'x'}}
        elif in_memory:
            with file.open('rb') as opened_file, np.load(opened_file) as content:
                keys = _keys(path, content.files, names)
                return {name: content[key] for name, key in keys.items()}
        else:
            with zipfile.ZipFile(file) as content:
                members = [name.removesuffix('.npy') for name in content.namelist()]
            keys = _keys(path, members, names)
            folder = stored('arrays', (stamp(file), keys), lambda f: _unpack(file, keys, f))
            files = {name: folder / f'{name}.npy' for name in keys}
        return {n: np.load(f, mmap_mode=None if in_memory else 'r') for n, f in files.items()}
    except FileNotFoundError as error:
        raise UserError(f'there is no file {error.filename!r}, beside {path!r}') from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error) or type(error).__name__
        if 'allow_pickle' in reason or 'Python objects' in reason:
            reason = 'it holds Python objects, not an array of numbers: are its rows of one shape?'
        raise UserError(f'cannot read {path}: {reason}') from None


def _keys(path: str, members: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Returns the names in the file of 'x' and the others."""
    if 'x' not in names and len(members) != 1:
        raise UserError(f'{path} has the arrays {", ".join(members)}: name the examples with x=…')
    keys = {'x': members[0], **names} if members else dict(names)
    for name, key in keys.items():
        if key not in members:
            raise UserError(
                f'{name}={key!r} is no array of {path}{nearest(key, members)}; it has '
                f'{", ".join(members) or "none"}'
            )
    return keys


def _unpack(file: Path, keys: Mapping[str, str], folder: Path) -> None:
    with zipfile.ZipFile(file) as content:
        for name, key in keys.items():
            member = key if key in content.namelist() else f'{key}.npy'
            with content.open(member) as packed, (folder / f'{name}.npy').open('wb') as unpacked:
                shutil.copyfileobj(packed, unpacked)


def _one_each(label: np.ndarray, where: str) -> np.ndarray:
    if label.ndim == 2 and label.shape[1] == 1:
        return label[:, 0]
    if label.ndim != 1:
        raise UserError(
            f'{where} must be one label for each example, [N], and is {list(label.shape)}'
        )
    return label


def _check_numbers(arrays: Mapping[str, np.ndarray], where: Mapping[str, str]) -> None:
    for name in arrays.keys() & {'x', 'context'}:
        if arrays[name].dtype.kind not in 'biuf' or not arrays[name].ndim:
            raise UserError(f'{where[name]} is not an array of numbers: {arrays[name].dtype}')


def _written(given: Mapping[str, Any]) -> dict[str, str]:
    """Writes arrays from Python to the cache; returns the fields that name them."""
    try:
        arrays = {name: np.asarray(v) for name, v in given.items() if v is not None}
    except ValueError as error:  # rows of different lengths
        raise UserError(f'Arrays: {error}') from None
    if 'x' not in arrays or arrays['x'].dtype.kind not in 'biuf':
        raise UserError('Arrays takes path=…, a file, or x=…, an array of numbers')
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
        digest.update(np.ascontiguousarray(array).data)
    path = cache_folder() / 'arrays' / f'{digest.hexdigest()[:24]}.npz'
    if not path.exists():
        with replacing(path) as temporary, temporary.open('wb') as file:
            np.savez(file, **arrays)
    return {'path': str(path), **{name: name for name in arrays}}
