"""Arrays and data sets that options name."""

from typing import TYPE_CHECKING

from genjax.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from genjax.data.sources import Dataset


def read_rows(path: str, option: str, name: str) -> 'np.ndarray':
    """Reads rows [N, ...] from an .npy file, or from the array `name` of an .npz file.

    Args:
        path: the file.
        option: for errors, such as '--context'.
        name: such as 'context'.
    """
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                if name not in found.files:
                    arrays = ', '.join(found.files) or 'none'
                    raise UserError(f'{option}={path} has no array `{name}`, only: {arrays}')
                found = found[name]
    except OSError as error:
        raise UserError(f'{option}={path}: {error.strerror or error}') from None
    except ValueError:
        raise UserError(f'{option}={path} is not an .npz or .npy file of numbers') from None
    if not found.ndim or not len(found):
        raise UserError(f'{option}={path}: `{name}` is [N, ...], not {list(found.shape)}')
    return found


def dataset_of(
    name: str, fields: list[tuple[str, str]], group: str, data_dir: str | None = None
) -> 'Dataset':
    """Builds the data set that a command names.

    Args:
        name: a TFDS name, or '@' and an import path.
        fields: options of the latter, such as ('path', 'photos').
        group: the group of these options, such as 'data'.
        data_dir: folder of all data sets.
    """
    from ml_collections import ConfigDict

    from genjax import config as configs
    from genjax.data import TFDS

    if not name.startswith('@'):
        if fields:
            raise UserError(
                f'--{group}.{fields[0][0]} is a field of a data set that is named as in a config, '
                'such as @genjax.data.TFDS'
            )
        # Few examples are read: do not decode the whole split.
        return TFDS(name, in_memory=False, data_dir=data_dir)
    named = ConfigDict({group: None})
    for field, value in [(group, name), *((f'{group}.{f}', v) for f, v in fields)]:
        configs.override(named, field, value)
    configs.check_complete(named[group], group)
    dataset = configs.build(named[group], group)
    if not callable(getattr(dataset, 'source', None)):
        raise UserError(f'{name} is not a data set')
    return dataset
