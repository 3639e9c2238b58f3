"""Parameters that are not trained, by patterns of their paths: `('encoder/.*',)`.

A tree of trained parameters has None in the place of each frozen one. None has no leaves, so that
gradients, optimizer states and averages have none for it either.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from genjax.errors import UserError, nearest


def path_of(path: tuple[Any, ...]) -> str:
    """Returns the path of a leaf as text, such as `encoder/Dense_0/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator='/')


def trained(params: Any, patterns: tuple[str, ...]) -> Any:
    """Returns the parameters with None in the place of those whose path matches a pattern."""
    if not patterns:
        return params
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: None if matches(path_of(path), patterns) else leaf, params
    )


def merged(part: Any, whole: Any) -> Any:
    """Returns the tree `whole` with the leaves of `part`, which has None for the others."""
    return jax.tree.map(
        lambda new, old: old if new is None else new, part, whole, is_leaf=lambda leaf: leaf is None
    )


def frozen_groups(params: Mapping[str, Any], patterns: tuple[str, ...]) -> set[str]:
    """Returns the groups that have parameters, all of them frozen. Their model state, such as batch
    statistics, stays too.
    """
    left = trained(params, patterns)
    return {g for g in params if jax.tree.leaves(params[g]) and not jax.tree.leaves(left[g])}


def check(params: Any, groups: Iterable[str], patterns: tuple[str, ...]) -> None:
    """Checks patterns against the parameters of a model, `groups` of which are trained.

    Raises:
        UserError: a pattern matches no parameter, or all parameters are frozen.
    """
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in patterns:
        if not any(re.fullmatch(pattern, path) for path in paths):
            hint = nearest(pattern, [*params, *paths])
            raise UserError(f'config.frozen: {pattern!r} matches no parameter{hint}')
    if patterns and not jax.tree.leaves(trained({g: params[g] for g in groups}, patterns)):
        raise UserError(f'config.frozen={patterns} leaves no parameter to train')


def check_patterns(field: str, patterns: Iterable[str]) -> None:
    """Raises ValueError for a pattern that is not a regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f'{field}: {pattern!r} is not a regular expression: {error}') from None


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Returns whether one of the patterns matches the whole path."""
    return any(re.fullmatch(pattern, path) for pattern in patterns)
