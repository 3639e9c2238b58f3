"""Gives Orbax TensorStore's driver for S3.

Orbax 0.12 knows paths in a bucket by the prefix gs://, writes arrays there by TensorStore's driver
for Google Cloud Storage, and takes no other prefix and driver from its caller. What else it does in
a bucket is the same in any store, so that S3 needs no more than these two.
"""

import functools

from genjax.errors import UserError

PREFIX = 's3://'


@functools.cache
def install() -> None:
    """Makes Orbax treat s3:// as gs://, for the life of the process.

    Raises:
        UserError: this version of Orbax is built otherwise.
    """
    from orbax.checkpoint._src.path import gcs_utils
    from orbax.checkpoint._src.serialization import tensorstore_utils

    try:
        prefixes, kvstore = gcs_utils._GCS_PATH_PREFIX, gcs_utils.get_kvstore_for_gcs
        is_remote, normalise = tensorstore_utils._use_gcs_driver, tensorstore_utils._normalize_path
    except AttributeError as error:
        raise UserError(f's3:// needs orbax-checkpoint 0.12; in this one, {error}') from None

    from genjax.files import s3

    def s3_or(function, instead):
        """A function of a path, with another one for those that begin with s3://."""
        return lambda path: (instead if path.startswith(PREFIX) else function)(path)

    gcs_utils._GCS_PATH_PREFIX = (*prefixes, PREFIX)
    gcs_utils.get_kvstore_for_gcs = s3_or(kvstore, s3.kvstore)
    tensorstore_utils._use_gcs_driver = s3_or(is_remote, lambda path: True)
    tensorstore_utils._normalize_path = s3_or(normalise, lambda path: path.rstrip('/'))
