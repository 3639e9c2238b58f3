"""Export of a model's network for Hugging Face's diffusers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax.errors import UserError
from genjax.networks.convert import config_of, to_diffusers
from genjax.tensors import write_safetensors
from genjax.training.run import Run
from genjax.training.weights import DIFFUSERS, convertible


def write_diffusers(run: Run, variables: Any, folder: Path) -> Mapping[str, Any]:
    """Writes `config.json` and `diffusion_pytorch_model.safetensors`.

    Raises:
        UserError: the model has no network, or several, that diffusers has too.
    """
    found = convertible(run.model, variables['params'])
    if len(found) != 1:
        groups = ', '.join(found) or 'none'
        raise UserError(
            f'--format=diffusers: a model with one UNet or DiT is needed; in this'
            f' {type(run.model).__name__} there is {groups}'
        )
    ((group, network),) = found.items()
    config = config_of(network)
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n', 'utf-8')
    arrays = to_diffusers(variables['params'][group], network)
    write_safetensors(folder / DIFFUSERS, arrays, {'format': 'pt'})
    scale = 1000.0 if network.time_scale is None else network.time_scale
    return {'network': group, 'timestep': f'{scale:g} times the time of the model'}
