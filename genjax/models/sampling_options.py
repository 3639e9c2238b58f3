"""Sampling options of models: checks, replacement, and the upgrade of older configs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from genjax.errors import UserError, nearest


def check_steps(sampling: Any) -> None:
    """Raises a UserError if `sampling.steps` is less than 1."""
    if sampling.steps < 1:
        raise UserError(f'{type(sampling).__name__}.steps must be at least 1, not {sampling.steps}')


def gathered(fields: Mapping[str, Any], sampling: type, names: Mapping[str, str]) -> dict[str, Any]:
    """Moves the sampling options of an older model config into the field `sampling`.

    Args:
        fields: the model's fields as plain data; returned unchanged if none is an option.
        sampling: the class of the options.
        names: option name in the older config -> field of the class.
    """
    moved = {new: fields[old] for old, new in names.items() if old in fields}
    if not moved:
        return dict(fields)
    kept = {name: value for name, value in fields.items() if name not in names}
    target = f'{sampling.__module__}.{sampling.__qualname__}'
    return {**kept, 'sampling': {'_target_': target, **moved}}


def with_sampling(model: Any, sampling: Any = None, **options: Any) -> Any:
    """Returns the model with other sampling options; its variables stay valid.

    Args:
        model: a model.
        sampling: replaces all options; None: the model's own.
        options: replace single options by name: `steps=10`.

    Raises:
        UserError: the model has no sampling options, or not these.
    """
    if sampling is None and not options:
        return model
    name, now = type(model).__name__, getattr(model, 'sampling', None)
    if now is None:
        raise UserError(f'a {name} has no sampling options')
    if sampling is not None and not isinstance(sampling, type(now)):
        raise UserError(
            f'the sampling options of a {name} are a {type(now).__name__},'
            f' not a {type(sampling).__name__}'
        )
    known = [field.name for field in dataclasses.fields(now)]
    for option in options:
        if option not in known:
            raise UserError(
                f'{type(now).__name__} has no option {option!r}{nearest(option, known)}'
                f' (it has: {", ".join(known)})'
            )
    sampling = dataclasses.replace(now if sampling is None else sampling, **options)
    return dataclasses.replace(model, sampling=sampling)
