"""Weights of a run or a file, by name: `params/encoder/Dense_0/kernel`, `state/…`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from genjax.errors import UserError, summary
from genjax.files import reading
from genjax.models import conditions
from genjax.networks.convert import check_config, config_of, from_diffusers, is_convertible
from genjax.parallel.host import fetch
from genjax.tensors import read_safetensors
from genjax.training import loading as runs
from genjax.training import workdir
from genjax.training.averages import Average

KINDS = ('params', 'state')
FILE = 'model.safetensors'
DIFFUSERS = 'diffusion_pytorch_model.safetensors'

_NONE: Mapping[str, nn.Module] = {}


@dataclass(frozen=True)
class Weights:
    """Arrays by name, on the host, and where they are from.

    Attributes:
        arrays: `params/<group>/…` and `state/<group>/…`.
        provenance: identity of the source; 'fingerprint' hashes the arrays.
    """

    arrays: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]


def read(
    path: Path,
    step: str | int = 'best',
    ema: bool | float | Average = True,
    networks: Mapping[str, nn.Module] = _NONE,
) -> Weights:
    """Reads the weights of a run, of a safetensors file, or of a folder with one.

    Args:
        path: run folder, file or folder.
        step: checkpoint of a run, as in `genjax.load`.
        ema: average of a run, as in `genjax.load`.
        networks: networks for which a folder of diffusers is converted, by group.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    if (path / DIFFUSERS).exists():
        return _of_diffusers(path, networks)
    file = path / FILE if (path / FILE).exists() else path
    if file.is_file():
        return _of_file(file)
    if not (path / workdir.CONFIG).exists():
        raise UserError(
            f'{path} is neither a run nor a safetensors file, nor a folder with a {FILE} or a'
            f' {DIFFUSERS}'
        )
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


def convertible(model: Any, params: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Returns the networks of a model that diffusers has too, by group, as the model uses them."""
    found = {group: getattr(model, group, None) for group in params}
    return {
        group: conditions.with_condition(network, model)
        for group, network in found.items()
        if is_convertible(network)
    }


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


def _of_diffusers(path: Path, networks: Mapping[str, nn.Module]) -> Weights:
    try:
        config = json.loads((path / 'config.json').read_text('utf-8'))
        name = config['_class_name']
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f'cannot read {path}/config.json of diffusers: {summary(error)}') from None
    state = _read(path / DIFFUSERS)
    arrays = {}
    for group, network in networks.items():
        if config_of(network)['_class_name'] == name:
            check_config(config, network)
            flipped = config.get('flip_sin_to_cos', True)
            params = from_diffusers(state, network, flip_sin_to_cos=flipped)
            arrays |= named({'params': {group: jax.device_get(params)}})
    if not arrays:
        raise UserError(f'{path} has a {name} of diffusers, and this model has no such network')
    return Weights(arrays, {'name': str(path), 'fingerprint': fingerprint(state)})


def _read(file: Path) -> dict[str, np.ndarray]:
    with reading(file) as here:
        return read_safetensors(here)


def _of_file(file: Path) -> Weights:
    arrays = {
        name if name.startswith(tuple(f'{kind}/' for kind in KINDS)) else f'params/{name}': array
        for name, array in _read(file).items()
    }
    return Weights(arrays, {'name': str(file), 'fingerprint': fingerprint(arrays)})
