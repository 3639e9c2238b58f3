"""Paths on S3 and stores that speak its protocol; importing this needs the `s3` extra."""

import contextlib
import functools
import os
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
import fsspec
import s3fs  # noqa: F401, fsspec imports it when it is needed
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from etils.epath.stat_utils import StatResult

from genjax.errors import UserError
from genjax.files import store_path
from genjax.files.store_path import StorePath

T = TypeVar('T')
_PART = 1 << 30  # bytes from which on a file is uploaded in parts; S3 takes 5 GiB in one request
_AMAZON = r'https://s3([.-][a-z0-9-]+)?\.amazonaws\.com(\.cn)?/?'
_LONGEST = 8.0  # seconds between two tries
_making = threading.Lock()  # sessions of botocore make one client at a time

if 'AWS_REGION' in os.environ:  # botocore reads the other one
    os.environ.setdefault('AWS_DEFAULT_REGION', os.environ['AWS_REGION'])

# Listings that s3fs caches would miss what TensorStore writes.
_conf = fsspec.config.conf.setdefault('s3', {})
_conf.setdefault('use_listings_cache', False)
_conf.setdefault('config_kwargs', {'retries': {'mode': 'standard', 'total_max_attempts': 8}})


class S3Path(StorePath):
    """A path `s3://…`. Versions are the ETags of objects, which depend on their content only."""

    def stat(self) -> StatResult:
        found = super().stat()
        with contextlib.suppress(IsADirectoryError):
            found.mtime = found.st_mtime = self._filesystem.modified(str(self)).timestamp()
        return found

    def fetch(self) -> tuple[str, bytes]:
        def get() -> tuple[str, bytes]:
            try:
                found = _client().get_object(**self._key)
                return found['ETag'], found['Body'].read()
            except ClientError as error:
                if error.response['Error']['Code'] == 'NoSuchKey':
                    return '', b''
                raise

        return _patiently(get)

    def write(
        self, content: bytes, version: str | None = None, patience: float | None = None
    ) -> str | None:
        condition = {'IfMatch': version} if version else {'IfNoneMatch': '*'}
        condition = {} if version is None else condition

        def put() -> str | None:
            try:
                return _client().put_object(**self._key, Body=content, **condition)['ETag']
            except ClientError as error:
                # NoSuchKey: it should have a version, and is missing.
                if error.response['Error']['Code'] in ('PreconditionFailed', 'NoSuchKey'):
                    return None
                raise

        return _patiently(put, patience)

    def check_conditions(self) -> None:
        for wrong in ('', '"0"'):
            if (written := self.write(b'', wrong)) is not None:
                with contextlib.suppress(Exception):
                    self.remove(written)
                raise UserError(
                    f'{self}: the server ignores the conditions of writes (If-None-Match,'
                    ' If-Match), without which two processes could write there at once; use another'
                    ' one'
                )

    def remove(self, version: str) -> None:
        _client().delete_object(**self._key, IfMatch=version)

    def upload(self, file: Path) -> None:
        def put() -> None:
            if file.stat().st_size >= _PART:
                self._filesystem.put_file(str(file), str(self))
                return
            with file.open('rb') as content:
                _client().put_object(**self._key, Body=content)

        _patiently(put)

    def copy_to(self, file: Path) -> None:
        _patiently(lambda: self._filesystem.get_file(str(self), str(file)))

    def checksum(self, found: dict[str, Any]) -> str:
        return found['ETag']

    def md5(self, found: dict[str, Any]) -> str:
        # The ETag of what is uploaded in parts, or encrypted by a key of the user, is another sum.
        bucket, _, name = found['name'].partition('/')
        try:
            about = _patiently(lambda: _client().head_object(Bucket=bucket, Key=name))
        except ClientError as error:
            if error.response['ResponseMetadata']['HTTPStatusCode'] == 404:  # removed meanwhile
                raise FileNotFoundError(f's3://{found["name"]}') from error
            raise
        etag = about['ETag'].strip('"')
        own = about.get('ServerSideEncryption', 'AES256') == 'AES256'
        return etag if own and '-' not in etag else ''

    @property
    def _key(self) -> dict[str, str]:
        bucket, name = self._bucket_and_name
        return {'Bucket': bucket, 'Key': name}


def kvstore(path: str) -> dict[str, Any]:
    """Returns TensorStore's specification of a folder."""
    bucket, _, name = path.removeprefix('s3://').partition('/')
    spec = {'driver': 's3', 'bucket': bucket, 'path': name}
    client = _client()
    if not re.fullmatch(_AMAZON, client.meta.endpoint_url):  # else TensorStore asks the bucket
        spec |= {'endpoint': client.meta.endpoint_url, 'aws_region': client.meta.region_name}
    return spec | {'aws_credentials': _credentials()}


def _credentials() -> dict[str, str]:
    """Returns where TensorStore finds the credentials that botocore has found. (Its own search
    passes over profiles, and logs an error for each place that has none: 0.1.86.)
    """
    session = _session()
    match getattr(session.get_credentials(), 'method', ''):
        case 'env':
            return {'type': 'environment'}
        case 'shared-credentials-file' | 'config-file':
            files = {
                name: os.path.expanduser(session.get_config_variable(name))
                for name in ('credentials_file', 'config_file')
            }
            return {'type': 'profile', 'profile': session.profile or 'default', **files}
        case 'container-role':
            return {'type': 'ecs'}
        case 'iam-role':
            return {'type': 'imds'}
        case _:
            return {'type': 'default'}


def _patiently(request: Callable[[], T], patience: float | None = None) -> T:
    """Returns the result of a request, repeated for some seconds while the store fails."""
    patience = store_path.PATIENCE if patience is None else patience
    end, pause = time.monotonic() + patience, 0.1
    while True:
        try:
            return request()
        except Exception as error:
            if not _is_passing(error) or time.monotonic() + pause > end:
                raise
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST)


def _is_passing(error: Exception) -> bool:
    """Returns whether a request that failed may succeed when it is repeated."""
    if isinstance(error, OSError) and isinstance(error.__cause__, Exception):  # of s3fs
        error = error.__cause__
    if isinstance(error, ClientError):
        status = error.response['ResponseMetadata']['HTTPStatusCode']
        slow = error.response['Error'].get('Code') == 'RequestTimeout'
        return slow or status >= 500 or status in (409, 429)  # 409: beside another conditional one
    if isinstance(error, SSLError):
        return False
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError)


def _client() -> BaseClient:
    with _making:
        return _new_client(store_path.TIMEOUT)


@functools.cache
def _new_client(timeout: float) -> BaseClient:
    once = {'mode': 'legacy', 'max_attempts': 0}
    config = Config(connect_timeout=timeout, read_timeout=timeout, retries=once)
    return _session().create_client('s3', config=config)


@functools.cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()
