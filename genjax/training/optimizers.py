"""Optimizers that optax does not have, and which parameters optax's treat as weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.contrib import MuonDimensionNumbers

from genjax.parallel.sharding import STACKS
from genjax.training.frozen import check_patterns, matches, path_of

__all__ = ['DecayWeights', 'MuonWeights', 'forced_norm', 'scheduled_adam']

WEIGHTS = ('(.*/)?kernel',)
"""Paths of the matrices and filters of layers."""


def scheduled_adam(
    learning_rate: float | Callable,
    b1: float | Callable = 0.9,
    b2: float | Callable = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """`optax.adam` whose decays may also be schedules of the step."""
    return optax.inject_hyperparams(optax.adam)(learning_rate, b1=b1, b2=b2, eps=eps)


@dataclass(frozen=True)
class DecayWeights:
    """Mask of weight decay, for the argument `mask` or `weight_decay_mask` of an optimizer of
    optax: decays the weights of layers, and neither biases, norms, embeddings nor position tables.
    Without a mask optax decays all.

    Attributes:
        patterns: regular expressions; decays parameters whose whole path in the phase, such as
            `encoder/Dense_0/kernel`, matches one.
    """

    patterns: tuple[str, ...] = WEIGHTS

    def __post_init__(self):
        check_patterns('DecayWeights.patterns', self.patterns)

    def __call__(self, params: Any) -> Any:
        """Returns a tree of bools for the parameters of a phase."""
        return jax.tree_util.tree_map_with_path(
            lambda path, _: matches(path_of(path), self.patterns), params
        )


@dataclass(frozen=True)
class MuonWeights:
    """Weights that Muon orthogonalises, for the argument `muon_weight_dimension_numbers` of
    `optax.contrib.muon` (Jordan et al., 2024): the matrices of layers, each layer of a stack by
    itself, and filters as matrices from all their inputs to the output channels. All else is
    updated by Adam: biases, norms, embeddings and the output layers of networks.

    Attributes:
        patterns: regular expressions of whole paths, like those of `DecayWeights`.
        adam: patterns of weights that are left to Adam.
    """

    patterns: tuple[str, ...] = WEIGHTS
    adam: tuple[str, ...] = ('(.*/)?(output|head)/kernel', '[^/]+/out/kernel')

    def __post_init__(self):
        check_patterns('MuonWeights.patterns', self.patterns)
        check_patterns('MuonWeights.adam', self.adam)

    def __call__(self, params: Any) -> Any:
        """Returns a tree of `MuonDimensionNumbers`, or None, for the parameters of a phase."""

        def dimensions(path: tuple[Any, ...], leaf: Any) -> MuonDimensionNumbers | None:
            name = path_of(path)
            if not matches(name, self.patterns) or matches(name, self.adam):
                return None
            stacked = sum(part in STACKS for part in name.split('/'))
            inputs = tuple(range(stacked, leaf.ndim - 1))
            return MuonDimensionNumbers(inputs, (leaf.ndim - 1,)) if inputs else None

        return jax.tree_util.tree_map_with_path(dimensions, params)


def forced_norm(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Scales the kernels after each update of an optimizer to a root mean square of 1 for each
    output: the forced weight normalisation of magnitude-preserving networks such as `MPUNet`, whose
    layers do not depend on that scale (Karras et al., 2024, section 2.3). A learning rate is then
    the relative change of the weights.
    """

    def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(updates, state, params)

        def forced(path: tuple, change: Array, old: Array) -> Array:
            if path[-1].key != 'kernel':
                return change
            new = old + change
            square = jnp.mean(new**2, axis=tuple(range(new.ndim - 1)))
            return new * jax.lax.rsqrt(square + 1e-12) - old

        return jax.tree_util.tree_map_with_path(forced, updates, params), state

    return optax.GradientTransformation(optimizer.init, update)
