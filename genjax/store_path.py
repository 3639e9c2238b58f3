"""A path on Google Cloud Storage; importing this needs the `gcs` extra."""

import functools
import logging
import os
from collections.abc import Iterator
from typing import IO, Any

os.environ.setdefault('EPATH_USE_TF', 'false')  # TensorFlow's file systems need another package
import fsspec
from etils.epath.gpath import PosixGPath
from google.cloud import storage

# Listings that gcsfs caches would miss what TensorStore writes.
fsspec.config.conf.setdefault('gcs', {}).setdefault('use_listings_cache', False)
logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # it also raises what it logs


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

    def rename(self, target: Any) -> 'StorePath':
        """Copies and removes each object; not atomic."""
        self._filesystem.mv(str(self), str(target), recursive=True)
        return type(self)(target)

    def digests(self) -> Iterator[tuple[str, str]]:
        """Yields the name and the store's own checksums of each object in the folder."""
        start = len(str(self).removeprefix('gs://')) + 1
        for name, found in sorted(self._filesystem.find(str(self), detail=True).items()):
            sums = ' '.join(str(found.get(kind, '')) for kind in ('crc32c', 'md5Hash', 'size'))
            yield name[start:], sums

    @property
    def _filesystem(self) -> fsspec.AbstractFileSystem:
        return self._backend.fs(str(self))


@functools.cache
def _client() -> storage.Client:
    return storage.Client()
