"""Exports a trained model: its weights, its programs, or its network for diffusers.

Every export is a folder with a `card.json`: config, step and average, SHA-256 and shapes of the
weights, and the format of the data.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax import files
from genjax.errors import UserError, nearest
from genjax.parallel import distributed
from genjax.parallel.host import fetch
from genjax.tensors import write_safetensors
from genjax.training.export.card import CARD, card_of
from genjax.training.export.network import write_diffusers
from genjax.training.export.programs import write_programs
from genjax.training.run import Run
from genjax.training.weights import FILE, named

FORMATS = ('safetensors', 'jax', 'diffusers')


def export(run: Run, out: str | Path, format: str = 'safetensors') -> None:
    """Writes a folder, whole or not at all.

    Args:
        run: the run.
        out: new or empty folder.
        format: 'safetensors': `model.safetensors`, which `Start` reads; 'jax': compiled programs of
            `sample` and `log_prob` that need jax and numpy only; 'diffusers': the U-Net or DiT of
            the model for Hugging Face's diffusers.

    Raises:
        UserError: the model has no such format, or the folder cannot be written.
    """
    if format not in FORMATS:
        hint = nearest(format, FORMATS)
        raise UserError(f'--format={format} is not one of {", ".join(FORMATS)}{hint}')
    out = files.as_path(files.anywhere(out))
    files.check_new_folder(out)
    variables = fetch(run.variables)
    if not distributed.is_first():
        return
    write: Callable[[Run, Any, Path], Mapping[str, Any]] = {
        'safetensors': _write_weights,
        'jax': write_programs,
        'diffusers': write_diffusers,
    }[format]
    with files.new_folder(out) as folder:
        more = write(run, variables, folder)
        card = {'format': format, **card_of(run, variables), **more}
        (folder / CARD).write_text(json.dumps(card, indent=2) + '\n', 'utf-8')


def _write_weights(run: Run, variables: Any, folder: Path) -> Mapping[str, Any]:
    arrays = {name: np.asarray(array) for name, array in named(variables).items()}
    write_safetensors(folder / FILE, arrays)
    return {}
