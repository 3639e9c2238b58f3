"""Upgrades configs of older code when they are read.

Run folders, sweeps and JSON files have configs with old names and fields. `RENAMED` lists moved
constructors; a constructor whose fields changed has a static method

    upgrade(fields: dict[str, Any]) -> dict[str, Any]

that takes the fields of an older config as plain JSON data, with inner constructors already
upgraded (`{'_target_': 'module.name', …}`), and returns the current fields. It is called on every
config that is read, so current fields must pass through unchanged.
"""

from collections.abc import Mapping
from typing import Any

from genjax.config.trust import TARGET, import_path
from genjax.errors import UserError

RENAMED: dict[str, str] = {
    'genjax.data.densities.Checkerboard': 'genjax.data.toy.densities.Checkerboard',
    'genjax.data.densities.Rings': 'genjax.data.toy.densities.Rings',
    'genjax.data.mixtures.Mixture': 'genjax.data.toy.mixtures.Mixture',
    'genjax.models.diffusion.Data': 'genjax.models.diffusion.X0',
    'genjax.models.diffusion.LogSNR': 'genjax.models.diffusion.LogSNRSchedule',
    'genjax.models.diffusion.NoiseRatio': 'genjax.models.diffusion.KarrasSchedule',
    'genjax.models.diffusion.Power': 'genjax.models.diffusion.PowerSchedule',
    'genjax.training.Encode': 'genjax.training.EncodeLatents',
    'genjax.training.Encoded': 'genjax.training.LoadLatents',
    'genjax.training.MeshShape': 'genjax.parallel.sharding.MeshShape',
}
"""Old and current import paths of moved or renamed classes and functions."""


def renamed(data: Any) -> Any:
    """Updates the import paths in a config, as plain data; imports nothing."""
    if isinstance(data, Mapping):
        return {
            key: RENAMED.get(value, value)
            if key == TARGET and isinstance(value, str)
            else renamed(value)
            for key, value in data.items()
        }
    if isinstance(data, tuple | list):
        return [renamed(value) for value in data]
    if isinstance(data, str) and data.startswith('@'):
        return '@' + RENAMED.get(data[1:], data[1:])
    return data


def upgraded(data: Any, where: str = 'config') -> Any:
    """Upgrades the fields of a config, as plain data with current import paths.

    Raises:
        UserError: a constructor cannot be imported or upgraded.
    """
    if isinstance(data, list):
        return [upgraded(value, f'{where}[{i}]') for i, value in enumerate(data)]
    if not isinstance(data, Mapping):
        return data
    fields = {key: upgraded(value, f'{where}.{key}') for key, value in data.items()}
    if TARGET not in fields:
        return fields
    target = fields.pop(TARGET)
    try:
        constructor = import_path(target)
    except UserError as e:
        raise UserError(f'{where}: {e}') from None
    if upgrade := getattr(constructor, 'upgrade', None):
        try:
            fields = upgrade(fields)
        except (AttributeError, LookupError, TypeError, ValueError) as e:
            raise UserError(f'{where}: {target} cannot read these fields: {e}') from None
    return {TARGET: target, **fields}
