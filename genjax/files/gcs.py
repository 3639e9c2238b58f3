"""Paths on Google Cloud Storage; importing this needs the `gcs` extra."""

import base64
import functools
import logging
from pathlib import Path
from typing import Any

import fsspec
import gcsfs  # noqa: F401, fsspec imports it when it is needed
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from genjax.files import store_path
from genjax.files.store_path import StorePath

# Listings that gcsfs caches would miss what TensorStore writes.
fsspec.config.conf.setdefault('gcs', {}).setdefault('use_listings_cache', False)
logging.getLogger('gcsfs').setLevel(logging.CRITICAL)  # it also raises what it logs


class GCSPath(StorePath):
    """A path `gs://…`. Versions are generations of objects."""

    def fetch(self) -> tuple[str, bytes]:
        blob = self._blob
        try:
            blob.reload(**_patient())
            return str(blob.generation), blob.download_as_bytes(**_patient())
        except NotFound:
            return '', b''

    def write(
        self, content: bytes, version: str | None = None, patience: float | None = None
    ) -> str | None:
        blob = self._blob
        condition = None if version is None else int(version or 0)
        try:
            blob.upload_from_string(content, if_generation_match=condition, **_patient(patience))
        except PreconditionFailed:
            return None
        return str(blob.generation)

    def remove(self, version: str) -> None:
        self._blob.delete(if_generation_match=int(version), timeout=store_path.TIMEOUT)

    def upload(self, file: Path) -> None:
        self._blob.upload_from_filename(str(file), **_patient())

    def copy_to(self, file: Path) -> None:
        self._blob.download_to_filename(str(file), **_patient())

    def checksum(self, found: dict[str, Any]) -> str:
        return found['crc32c']

    def md5(self, found: dict[str, Any]) -> str:
        return base64.b64decode(found.get('md5Hash', '')).hex()

    @property
    def _blob(self) -> storage.Blob:
        bucket, name = self._bucket_and_name
        return _client().bucket(bucket).blob(name)


def _patient(patience: float | None = None) -> dict[str, Any]:
    """Options of a request that is repeated for some seconds."""
    patience = store_path.PATIENCE if patience is None else patience
    return {
        'timeout': store_path.TIMEOUT,
        'retry': DEFAULT_RETRY.with_timeout(patience) if patience else None,
    }


@functools.cache
def _client() -> storage.Client:
    return storage.Client()
