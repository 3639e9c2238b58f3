"""Initialises and applies networks, with or without state, conditions and a train mode."""

import functools
import inspect
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models.base import Values, Variables

SMOOTH_TIME = 10.0
"""Scale of the time embedding for models whose time is a log noise level, or whose loss compares
or differentiates the network's outputs at neighbouring times: with 1000 the embeddings of
neighbouring times are unrelated.
"""

_NETWORKS: ContextVar[dict[str, nn.Module] | None] = ContextVar('networks', default=None)

_log = logging.getLogger(__name__)


def initialise(key: Array, calls: Mapping[str, tuple[nn.Module, tuple[Any, ...]]]) -> Variables:
    """Initialises the variables of several networks, each its own group.

    Args:
        key: PRNG key.
        calls: group -> (network, example arguments); arguments that are None are left out.

    Returns:
        `{'params': {group: tree}, 'state': {group: {collection: tree}}}`; a network without state
        has no entry in 'state'.
    """
    if (found := _NETWORKS.get()) is not None:
        found.update({group: network for group, (network, _) in calls.items()})
    params, state = {}, {}
    for group_key, (group, (module, args)) in zip(
        jax.random.split(key, len(calls)), calls.items(), strict=True
    ):
        param_key, dropout_key = jax.random.split(group_key)
        rngs = {'params': param_key, 'dropout': dropout_key}
        collections = dict(module.init(rngs, *_present(args)))
        params[group] = collections.pop('params', {})
        if collections:
            state[group] = collections
    return {'params': params, 'state': state}


def networks_of(model: Any, batch: Any) -> dict[str, nn.Module]:
    """Returns the networks of a model by parameter group, as `model.init` initialises them for
    batches of these shapes.
    """
    token = _NETWORKS.set({})
    try:
        jax.eval_shape(model.init, jax.random.key(0), batch)
        return _NETWORKS.get()
    finally:
        _NETWORKS.reset(token)


def apply(
    module: nn.Module,
    variables: Variables,
    group: str,
    *args: Any,
    train: bool = False,
    key: Array | None = None,
    method: str = '__call__',
    **options: Any,
) -> tuple[Any, Mapping[str, Any]]:
    """Calls a network with the variables of its group.

    Args:
        module: the network; `train` is passed on if its method takes that argument.
        variables: the variables of all groups.
        group: the network's group.
        *args: inputs of the network; those that are None are left out.
        train: apply dropout, use and update batch statistics.
        key: for dropout; required if `train`.
        method: the method to call.
        **options: further arguments of the method.

    Returns:
        The network's output, and `variables['state']` with this group's updated state.
    """
    state = variables['state']
    collections = {'params': variables['params'][group], **state.get(group, {})}
    args, options = _present(args), {**options, **train_option(module, train, method)}
    if not train:
        return module.apply(collections, *args, **options, method=method), state
    out, new = module.apply(
        collections,
        *args,
        **options,
        method=method,
        rngs={'dropout': key},
        mutable=list(state.get(group, {})),
    )
    return out, {**state, group: new} if group in state else state


def hidden(
    module: nn.Module,
    variables: Variables,
    group: str,
    *args: Any,
    train: bool = False,
    key: Array | None = None,
) -> tuple[Any, Array]:
    """Calls a network as `apply` does, and returns its output and its features [B, ..., D]; a new
    state is dropped.

    A network stores its features by `self.sow('intermediates', 'features', h)`; those of genjax
    store the input of the last layer, `UNet` that of the upsampling path.

    Raises:
        UserError: the network stores no features.
    """
    state = variables['state'].get(group, {})
    out, found = module.apply(
        {'params': variables['params'][group], **state},
        *_present(args),
        **train_option(module, train),
        rngs={'dropout': key} if train else {},
        mutable=['intermediates', *(state if train else ())],
    )
    if 'features' not in found.get('intermediates', {}):
        raise UserError(
            f'the network {type(module).__name__} stores no features: before its last layer, call'
            " self.sow('intermediates', 'features', h)"
        )
    return out, found['intermediates']['features'][0].astype(jnp.float32)


def pooled(h: Array) -> Array:
    """The mean [B, D] of features [B, ..., D] over positions."""
    return jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))


def _present(args: tuple[Any, ...]) -> list[Any]:
    """Leaves out the condition of a network without one."""
    return [arg for arg in args if arg is not None]


def has_batch_statistics(state: Any) -> bool:
    """True if the state has a running mean or variance of `nn.BatchNorm`. `nn.SpectralNorm` keeps
    its vectors in the same collection.
    """
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    names = [[getattr(part, 'key', None) for part in path] for path in paths]
    return any('batch_stats' in path and path[-1] in ('mean', 'var') for path in names)


def train_option(module: nn.Module, train: bool, method: str = '__call__') -> dict[str, bool]:
    """Returns {'train': train} if the network's method takes that argument, otherwise {}."""
    kind = getattr(module, 'nnx_class', type(module))
    takes_it = 'train' in inspect.signature(getattr(kind, method)).parameters
    return {'train': train} if takes_it else {}


def event_shape(module: nn.Module, role: str) -> tuple[int, ...]:
    """Returns the shape of one example that `module` emits.

    Raises:
        UserError: the module has no field `shape`, or none is given.
    """
    shape = getattr(module, 'shape', None)
    if shape is None:
        raise UserError(
            f'the {role} {type(module).__name__} needs a field shape: the shape of one example'
        )
    return tuple(shape)


def output_values(module: nn.Module, role: str) -> Values | None:
    """Returns the range of the outputs of `module` if its field `output` bounds them."""
    output = getattr(module, 'output', None)
    for name, function, low in (('tanh', jnp.tanh, -1), ('sigmoid', jax.nn.sigmoid, 0)):
        if output in (name, function):
            return Values(f'the {name} of the {role} {type(module).__name__}', low, 1)
    return None


def with_time_scale(network: nn.Module, scale: float) -> nn.Module:
    """Sets the network's `time_scale` if it is None; warns if it is more than ten times `scale`."""
    if not hasattr(network, 'time_scale'):
        return network
    if network.time_scale is None:
        return network.clone(time_scale=scale)
    if network.time_scale > 10.0 * scale:
        _warn(
            f'{type(network).__name__}.time_scale={network.time_scale:g} hides from this model how '
            f'its outputs change with time, and it learns little: leave it out, for {scale:g}'
        )
    return network


@functools.cache
def _warn(line: str) -> None:
    """Logs a warning once per process; models are built repeatedly."""
    _log.warning(line)


def check_shares(model: Any, *names: str) -> None:
    """Raises a UserError unless these fields of the model are in [0, 1); skips schedules and traced
    values.
    """
    for name in names:
        value = getattr(model, name)
        if isinstance(value, (int, float)) and not 0.0 <= value < 1.0:
            raise UserError(
                f'{type(model).__name__}.{name} must be at least 0 and less than 1, not {value}'
            )
