"""Files and folders of this machine and of buckets: paths, ownership, and writes that are whole."""

from genjax.files.locks import check_owned, exclusive, locked, refuse_links
from genjax.files.paths import (
    absolute,
    anywhere,
    as_path,
    disk_full,
    explained,
    is_remote,
    local,
    output,
    workdir,
)
from genjax.files.whole import (
    appending,
    check_new_folder,
    committed,
    digests,
    logging_to,
    new_folder,
    reading,
    remove_unfinished,
    replacing,
    sha256,
    write_json,
)

__all__ = [
    'absolute',
    'anywhere',
    'appending',
    'as_path',
    'check_new_folder',
    'check_owned',
    'committed',
    'digests',
    'disk_full',
    'exclusive',
    'explained',
    'is_remote',
    'local',
    'locked',
    'logging_to',
    'new_folder',
    'output',
    'reading',
    'refuse_links',
    'remove_unfinished',
    'replacing',
    'sha256',
    'workdir',
    'write_json',
]
