"""A path on Google Cloud Storage; importing this needs the `gcs` extra."""

import functools
import logging
import os
from pathlib import Path
from typing import IO, Any

os.environ.setdefault('EPATH_USE_TF', 'false')  # TensorFlow's file systems need another package
import fsspec
import gcsfs  # noqa: F401, fsspec imports it when it is needed
from etils.epath.gpath import PosixGPath
from etils.epath.stat_utils import StatResult
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

PATIENCE = 120.0  # seconds for which a request that fails is repeated
TIMEOUT = 10.0  # seconds per request

# Listings that gcsfs caches would miss what TensorStore writes.
fsspec.config.conf.setdefault('gcs', {}).setdefault('use_listings_cache', False)
logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # it also raises what it logs


def patient() -> dict[str, Any]:
    """Options of a request that is repeated."""
    return {'timeout': TIMEOUT, 'retry': DEFAULT_RETRY.with_timeout(PATIENCE)}


class StorePath(PosixGPath):
    """A path in a store, with the methods of `pathlib.Path` that genjax and Orbax use.

    A folder is there as long as something in it is.
    """

    @property
    def blob(self) -> storage.Blob:
        """The object of this name, whether it is there or not."""
        _, _, bucket, *names = self.parts
        return _client().bucket(bucket).blob('/'.join(names))

    def absolute(self) -> 'StorePath':
        return self

    def resolve(self, strict: bool = False) -> 'StorePath':
        return self

    def is_symlink(self) -> bool:
        return False

    def open(self, mode: str = 'r', encoding: str | None = None, **options: Any) -> IO:
        if 'b' not in mode:
            options['encoding'] = encoding or 'utf-8'
        return self._filesystem.open(str(self), mode, **options)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        return self.read_bytes().decode(encoding or 'utf-8', errors or 'strict')

    def stat(self) -> StatResult:
        """Returns size and time of change, by the names of `os.stat` too."""
        found = super().stat()
        found.st_size, found.st_mtime = found.length, found.mtime
        return found

    def rename(self, target: Any) -> 'StorePath':
        """Copies and removes each object; not atomic."""
        self._filesystem.mv(str(self), str(target), recursive=True)
        return type(self)(target)

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns what the store says of each object in the folder, by name, in order."""
        start = len(str(self).removeprefix('gs://')) + 1
        found = self._filesystem.find(str(self), detail=True)
        return {name[start:]: found[name] for name in sorted(found)}

    def upload(self, file: Path) -> None:
        """Writes the object from a file of this machine, whole or not at all."""
        self.blob.upload_from_filename(str(file), **patient())

    def download(self, folder: Path) -> None:
        """Copies all objects in the folder into a folder of this machine."""
        self._filesystem.get(f'{self}/', f'{folder}/', recursive=True)

    @property
    def _filesystem(self) -> fsspec.AbstractFileSystem:
        return self._backend.fs(str(self))


@functools.cache
def _client() -> storage.Client:
    return storage.Client()
