"""Files of named arrays: safetensors, and .npz."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genjax.errors import UserError, how_to_install, summary

_NO_METADATA: Mapping[str, str] = {}


def read(file: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a .safetensors or .npz file.

    Raises:
        UserError: the file is missing, damaged or of another format. That of PyTorch is pickled:
            reading it would run what it contains.
    """
    if not file.is_file():
        raise UserError(f'there is no file {file}')
    if file.suffix in ('.pt', '.pth', '.bin'):
        new = file.with_suffix('.safetensors').name
        raise UserError(
            f'{file} is pickled, and could run anything: convert it once, in Python with torch and'
            f' safetensors: import torch; from safetensors.torch import save_file;'
            f" save_file(torch.load('{file.name}', 'cpu', weights_only=True), '{new}')"
        )
    if file.suffix == '.safetensors':
        return read_safetensors(file)
    if file.suffix != '.npz':
        raise UserError(f'cannot read {file}: weights are .safetensors or .npz files')
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f'cannot read {file} as .npz: {summary(error)}') from None


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a safetensors file.

    Raises:
        UserError: the library is not installed, or the file is damaged.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.flax import load_file  # that of NumPy does not know bfloat16
    except ImportError:
        raise UserError(_needs(file)) from None
    try:
        return {name: np.asarray(array) for name, array in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise UserError(f'cannot read {file} as safetensors: {error}') from None


def write_safetensors(
    file: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] = _NO_METADATA
) -> None:
    """Writes a safetensors file; raises UserError if the library is not installed."""
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise UserError(_needs(file)) from None
    save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, file, dict(metadata))


def _needs(file: Path) -> str:
    return f'{file.name} needs the library safetensors: {how_to_install("export")}'
