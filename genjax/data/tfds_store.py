"""Folders of prepared data sets, and their preparation.

All data are read from folders in TFDS's own layout, `<data_dir>/<name>[/<config>]/<version>`, as
array_record files. Reading needs no TensorFlow. A builder given by its class (a bundled one, or an
import path) is prepared on first use; a stock TFDS data set is prepared by `prepare`.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genjax.config import trust
from genjax.data.bucket_copy import on_disk
from genjax.data.builders import BUNDLED
from genjax.errors import UserError, how_to_install, nearest
from genjax.files import anywhere, as_path, disk_full, is_remote, local


def data_dir_path(data_dir: str | None) -> Path:
    """Returns the folder of all data sets: `data_dir`, $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    # Read here: TFDS reads the environment only once, on import.
    given = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    return as_path(anywhere(given))


def open_builder(name: str, data_dir: str | None = None):
    """Returns the TFDS builder of a prepared data set, from its folder alone.

    Args:
        name: a TFDS name, `'mnist'`, `'gaussians/ring'` or `'mnist:3.0.1'`; or the import path of a
            builder class, `'package.module.Class'` with `/config` if it has any.
        data_dir: see `data_dir_path`.

    Raises:
        UserError: the data set does not exist, or is not prepared as array_record.
    """
    builder_class, config = _own_class(name)
    if is_remote(data_dir_path(data_dir)):
        first = builder_class.name if builder_class else re.match(r'[^/:]*', name)[0]
        data_dir = str(on_disk(data_dir_path(data_dir) / first).parent)
    if builder_class is not None:
        return _open_folder(_prepared_folder(name, builder_class, config, data_dir))
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    folder = data_dir_path(data_dir)
    _check_features_of(name, folder)
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=str(folder))
    except DatasetNotFoundError:
        _check_known(name, folder)
        where = f' --data_dir={data_dir}' if data_dir else ''
        raise UserError(
            f'the data set {name!r} is not prepared in {folder}; run '
            f'`genjax data prepare {name}{where}` (it needs TensorFlow once:'
            f' {how_to_install("prepare")})'
        ) from None
    return _open_folder(Path(builder.data_dir))


def prepare(name: str, data_dir: str | None = None) -> Path:
    """Prepares a data set, downloading it if necessary, and returns its folder.

    Does nothing if it is prepared already. Stock TFDS data sets need TensorFlow.
    """
    builder_class, config = _own_class(name)
    if builder_class is not None:
        return _prepared_folder(name, builder_class, config, data_dir)
    import tensorflow_datasets as tfds

    folder = _own_dir(data_dir)
    _check_features_of(name, folder)
    with contextlib.suppress(tfds.core.DatasetNotFoundError):
        found = tfds.core.read_only_builder.builder_from_files(name, data_dir=str(folder))
        return Path(_open_folder(Path(found.data_dir)).data_dir)
    _check_known(name, folder)
    if not trust.is_installed('tensorflow'):
        raise UserError(f'preparing {name!r} needs TensorFlow: {how_to_install("prepare")}')
    return _build(name, lambda parent: tfds.builder(name, data_dir=parent), folder, quiet=False)


def _own_dir(data_dir: str | None) -> Path:
    """`data_dir_path`, where data sets are prepared: not in a bucket."""
    return Path(local(str(data_dir_path(data_dir))))


@dataclass(frozen=True)
class Prepared:
    """A prepared data set on disk.

    Attributes:
        name: name of the data set, with its config.
        sizes: examples per split.
        shape: shape of its images or tensors, None for varying dimensions; None without any.
        size: bytes on disk.
        folder: its folder.
    """

    name: str
    sizes: dict[str, int]
    shape: tuple[int | None, ...] | None
    size: int
    folder: Path


def prepared(data_dir: str | None = None) -> Iterator[Prepared]:
    """Yields every data set in `data_dir`, ordered by folder."""
    from tensorflow_datasets import features as kinds

    folder = _own_dir(data_dir)
    found = [*folder.glob('*/*/dataset_info.json'), *folder.glob('*/*/*/dataset_info.json')]
    for info in sorted(found):
        if info.relative_to(folder).parts[0].startswith('incomplete'):
            continue
        try:
            builder = read_builder(info.parent)
        except Exception:  # a foreign or older folder, with any defect
            continue
        config, features = builder.builder_config, sorted(builder.info.features.items())
        shapes = [kind.shape for _, kind in features if isinstance(kind, kinds.Image)]
        shapes += [kind.shape for _, kind in features if type(kind) is kinds.Tensor]
        yield Prepared(
            name=f'{builder.name}/{config.name}' if config else builder.name,
            sizes={split: part.num_examples for split, part in builder.info.splits.items()},
            shape=shapes[0] if shapes else None,
            size=builder.info.dataset_size,
            folder=info.parent,
        )


def _own_class(name: str):
    """Returns (builder class, config) if `name` is bundled or an import path, else (None, None)."""
    if not re.fullmatch(r'[\w.]+(/[^/\s:]+)?(:[\w.]+)?', name) or name.startswith('.'):
        raise UserError(
            f'{name!r} is not the name of a data set: mnist, name/config, name:version, or the'
            ' import path of a builder class'
        )
    first, _, config = name.partition('/')
    path = BUNDLED.get(first) or trust.builder_path(name)
    if path is None:
        return None, None
    module_name, _, class_name = path.rpartition('.')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f'the data set {name!r} cannot be imported: {error}') from error
    if not hasattr(module, class_name):
        guess = nearest(class_name, vars(module))
        raise UserError(f'the module {module_name!r} has no builder {class_name!r}{guess}')
    trust.note(path)
    builder_class = getattr(module, class_name)
    if not isinstance(builder_class, type) or not hasattr(builder_class, 'VERSION'):
        raise UserError(f'{path} is not a builder of a data set (tfds.core.GeneratorBasedBuilder)')
    configs = [known.name for known in getattr(builder_class, 'BUILDER_CONFIGS', [])]
    if config and config not in configs:
        known = f'its configs are {configs}' if configs else f'{path} has no configs'
        raise UserError(f'there is no data set {name!r}{nearest(config, configs)}; {known}')
    return builder_class, config or (configs[0] if configs else None)


def _prepared_folder(name, builder_class, config, data_dir) -> Path:
    """Returns the folder of a data set with a builder class, preparing it if necessary."""
    folder = _own_dir(data_dir)
    version = str(builder_class.VERSION)
    final = folder.joinpath(*filter(None, (builder_class.name, config, version)))
    if not (final / 'dataset_info.json').exists():
        _build(
            name, lambda parent: builder_class(data_dir=parent, config=config), folder, quiet=True
        )
    return final


def _build(name: str, make_builder: Callable, folder: Path, *, quiet: bool) -> Path:
    """Prepares the data set of `make_builder(folder)` in a temporary folder and renames it to
    `folder` when complete.

    Processes may do this concurrently: the first rename wins, and the others drop their copy. A
    killed process leaves only an `incomplete.*` folder.
    """
    import tensorflow_datasets as tfds

    bundled = name.partition('/')[0] in BUNDLED  # bundled data need no download
    settings = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='incomplete.', dir=folder) as temporary:
            with _silence() if quiet else contextlib.nullcontext():
                builder = make_builder(temporary)
                builder.download_and_prepare(
                    download_dir=temporary if bundled else str(folder / 'downloads'),
                    download_config=settings,
                    file_format='array_record',
                )
            final = folder / Path(builder.data_dir).relative_to(temporary)
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(builder.data_dir, final)
            except OSError:
                if not (final / 'dataset_info.json').exists():
                    raise
    except (
        OSError, ImportError, AssertionError, RuntimeError, tfds.download.DownloadError,
    ) as error:  # fmt: skip
        if isinstance(error, RuntimeError) and not disk_full(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if disk_full(error):
            reason = 'the disk is full'
        message = f'the data set {name!r} cannot be prepared in {folder}: {reason}'
        if disk_full(error) or (isinstance(error, OSError) and error.errno):  # not the network
            message += ' (choose another folder with data_dir or TFDS_DATA_DIR)'
        raise UserError(message) from error
    return final


def _open_folder(folder: Path):
    builder = read_builder(folder)
    formats = {known.value for known in builder.info.available_file_formats()}
    if 'array_record' not in formats:
        raise UserError(
            f'the data set in {folder} is stored as {", ".join(sorted(formats))}, which cannot be '
            f'read without TensorFlow; prepare it again elsewhere: '
            f'`genjax data prepare {builder.name} --data_dir=...`'
        )
    return builder


def read_builder(folder: Path):
    """Returns the TFDS builder of a prepared folder from an untrusted source: TFDS would import any
    module that its files name as a feature type.

    Raises:
        UserError: they name a module that is neither of TFDS nor imported already.
    """
    from tensorflow_datasets.core.read_only_builder import builder_from_directory

    _check_features(folder / 'features.json')
    return builder_from_directory(folder)


def _check_features_of(name: str, folder: Path) -> None:
    """Checks all versions of a data set."""
    first = re.match(r'[^/:]*', name)[0]
    for path in (folder / first).glob('**/features.json') if first else ():
        _check_features(path)


def _check_features(path: Path) -> None:
    try:
        features = json.loads(path.read_text('utf-8'))
    except (OSError, ValueError, RecursionError):
        return  # TFDS reports the error
    for name in _classes_in(features):
        module = name.rpartition('.')[0]
        known = module in sys.modules or module.partition('.')[0] == 'tensorflow_datasets'
        if module and not known:
            trust.check('@' + name, where=str(path))


def _classes_in(features: Any) -> Iterator[str]:
    if isinstance(features, dict):
        for key, value in features.items():
            if key in ('pythonClassName', 'python_class_name', 'type') and isinstance(value, str):
                yield value
            yield from _classes_in(value)
    elif isinstance(features, list):
        for value in features:
            yield from _classes_in(value)


def _check_known(name: str, folder: Path) -> None:
    import tensorflow_datasets as tfds

    # The stock list is part of the package; the community list would be fetched from the network.
    stock = tfds.list_builders(with_community_datasets=False)
    name = name.partition('/')[0].partition(':')[0]
    if name not in stock:
        here = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        guess = nearest(name, [*BUNDLED, *here, *stock])
        raise UserError(f'there is no data set {name!r} in TFDS or in {folder}{guess}')


@contextlib.contextmanager
def _silence():
    """Hides TFDS's progress bars and messages."""
    from tensorflow_datasets.core.utils import tqdm_utils

    before = tqdm_utils._active
    tqdm_utils.display_progress_bar(enable=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tqdm_utils.display_progress_bar(enable=before)
