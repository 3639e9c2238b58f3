"""Weights of a run or a file, by name: `params/encoder/Dense_0/kernel`, `state/…`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax.errors import UserError, how_to_install
from genjax.parallel.host import fetch
from genjax.training import run as runs
from genjax.training import workdir

KINDS = ('params', 'state')
FILE = 'model.safetensors'


@dataclass(frozen=True)
class Weights:
    """Arrays by name, on the host, and where they are from.

    Attributes:
        arrays: `params/<group>/…` and `state/<group>/…`.
        provenance: identity of the source; 'fingerprint' hashes the arrays.
    """

    arrays: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]


def read(path: Path, step: str | int = 'best', ema: bool | float = True) -> Weights:
    """Reads the weights of a run, of a safetensors file, or of a folder with one.

    Args:
        path: run folder, file or folder.
        step: checkpoint of a run, as in `genjax.load`.
        ema: average of a run, as in `genjax.load`.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    file = path / FILE if (path / FILE).exists() else path
    if file.is_file():
        return _of_file(file)
    run = runs.load(path, step, ema=ema)
    record = workdir.read(path)
    variables = fetch(run.variables)
    return Weights(
        named(variables),
        {
            'name': f'step {run.step} of {path}',
            'fingerprint': fingerprint(variables),
            'step': run.step,
            'run': {name: record[name] for name in ('id', 'config', 'fingerprint', 'data')},
        },
    )


def named(variables: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by path, such as `params/encoder/Dense_0/kernel`."""
    return {
        jax.tree_util.keystr(path, simple=True, separator='/'): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }


def fingerprint(variables: Any) -> str:
    """SHA-256 of the names and values of all arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(f'{jax.tree_util.keystr(path)} {leaf.dtype}{leaf.shape}'.encode())
        digest.update(leaf.tobytes())
    return digest.hexdigest()


def read_file(file: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a safetensors file.

    Raises:
        UserError: the library is not installed, or the file is damaged.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.flax import load_file  # that of NumPy does not know bfloat16
    except ImportError:
        raise UserError(
            f'{file} needs the library safetensors: {how_to_install("safetensors")}'
        ) from None
    try:
        return {name: np.asarray(array) for name, array in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise UserError(f'cannot read {file} as safetensors: {error}') from None


def _of_file(file: Path) -> Weights:
    arrays = {
        name if name.startswith(tuple(f'{kind}/' for kind in KINDS)) else f'params/{name}': array
        for name, array in read_file(file).items()
    }
    return Weights(arrays, {'name': str(file), 'fingerprint': fingerprint(arrays)})
