"""Paths in a bucket, of any store; importing this needs `fsspec` and `etils`."""

import os
from pathlib import Path
from typing import IO, Any

os.environ.setdefault('EPATH_USE_TF', 'false')  # TensorFlow's file systems need another package
import fsspec
from etils.epath.gpath import PosixGPath
from etils.epath.stat_utils import StatResult

PATIENCE = 120.0  # seconds for which a request that fails is repeated
TIMEOUT = 10.0  # seconds per request


class StorePath(PosixGPath):
    """A path in a store, with the methods of `pathlib.Path` that genjax and Orbax use.

    A folder is there as long as something in it is. A subclass for each store implements what
    follows `download`: requests that are repeated while the store fails, and what it keeps of each
    object.
    """

    def absolute(self) -> 'StorePath':
        return self

    def resolve(self, strict: bool = False) -> 'StorePath':
        return self

    def is_symlink(self) -> bool:
        return False

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Checks that nothing is there, unless it may be."""
        if not exist_ok and self.exists():
            raise FileExistsError(f'{self} exists')

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
        """Copies the object, or each in the folder, then removes what it copied; not atomic."""
        for name in self.objects():  # '' of an object
            self._filesystem.cp_file(f'{self}/{name}'.rstrip('/'), f'{target}/{name}'.rstrip('/'))
        self.rmtree()
        return type(self)(target)

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns what the store says of each object in the folder, by name, in order."""
        start = len(str(self).partition('://')[2]) + 1
        found = self._filesystem.find(str(self), detail=True)
        return {name[start:]: found[name] for name in sorted(found)}

    def download(self, folder: Path) -> None:
        """Copies all objects in the folder into a folder of this machine."""
        self._filesystem.get(f'{self}/', f'{folder}/', recursive=True)

    def fetch(self) -> tuple[str, bytes]:
        """Returns version and content of the object, empty if it is missing."""
        raise NotImplementedError

    def write(
        self, content: bytes, version: str | None = None, patience: float | None = None
    ) -> str | None:
        """Writes the object, whole or not at all.

        Args:
            content: its content.
            version: write only if the object has this version ('': is missing); None: always.
            patience: seconds for which a request that fails is repeated; None: PATIENCE.

        Returns:
            The new version; None if the object had another version.
        """
        raise NotImplementedError

    def check_conditions(self) -> None:
        """Raises UserError if the server writes an object that is there against a condition; asks
        only where servers differ.
        """

    def remove(self, version: str) -> None:
        """Removes the object if it has this version; one request."""
        raise NotImplementedError

    def upload(self, file: Path) -> None:
        """Writes the object from a file of this machine, whole or not at all."""
        raise NotImplementedError

    def copy_to(self, file: Path) -> None:
        """Copies the object to a file of this machine."""
        raise NotImplementedError

    def checksum(self, found: dict[str, Any]) -> str:
        """Returns a checksum that the store keeps of an object, given its entry in `objects`."""
        raise NotImplementedError

    def md5(self, found: dict[str, Any]) -> str:
        """Returns the MD5 sum in hex, given the object's entry in `objects` of its folder; '' if
        the store does not keep it.
        """
        raise NotImplementedError

    @property
    def _bucket_and_name(self) -> tuple[str, str]:
        _, _, bucket, *names = self.parts
        return bucket, '/'.join(names)

    @property
    def _filesystem(self) -> fsspec.AbstractFileSystem:
        return self._backend.fs(str(self))
