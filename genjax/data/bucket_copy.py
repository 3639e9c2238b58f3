"""Data sets in a bucket, copied into the cache of this machine, where their readers need them."""

import functools
from pathlib import Path

from genjax.data.array_store import stored
from genjax.errors import UserError
from genjax.files import is_remote


@functools.lru_cache
def on_disk(folder: Path) -> Path:
    """Returns a folder of this machine: the folder itself, or a copy of one in a bucket, which is
    made when the content there is another one.

    Raises:
        UserError: the bucket has no such folder, or the cache cannot be written.
    """
    if not is_remote(folder):
        return folder
    objects = folder.objects()
    if not objects:
        raise UserError(f'there is no folder {folder}')
    content = [(name, folder.checksum(found), found['size']) for name, found in objects.items()]
    copy = stored('buckets', content, lambda here: folder.download(here / folder.name))
    return copy / folder.name
