"""The contract that every family of generative models fulfils.

A model is a frozen dataclass of Flax modules and numbers, with pure methods. Training is a game of
one or more players: each `Phase` is one turn, with its own loss and the parameter groups that it
trains.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array

Variables = Mapping[str, Mapping[str, Any]]
"""`{'params': {group: tree}, 'state': {group: tree}}`. State is what training changes without a
gradient: batch statistics, spectral-norm vectors, codebook averages; most models have none."""

Batch = Mapping[str, Array]
"""`x` [B, *event]; optionally `label` int32 [B] and `mask` bool [B] (False: padding, counts for
nothing).
"""

Kind = Literal['exact', 'lower_bound', 'estimate']


@dataclass(frozen=True)
class Values:
    """The values of preprocessed data that a model is made for.

    Attributes:
        of: what is made for them, in messages: 'Bernoulli', say.
        low: smallest value.
        high: largest value.
        whole: whole numbers only.
        unit: of size about 1, as networks and noise are.
    """

    of: str
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    unit: bool = False

    def __str__(self) -> str:
        if math.isinf(self.high):
            return 'values of size about 1'
        whole = 'whole numbers' if self.whole else 'values'
        return f'{whole} from {self.low:g} to {self.high:g}'


class LossOutput(NamedTuple):
    """What a phase's loss gives back.

    Attributes:
        values: the loss of each example, [B]; the train step takes the masked mean.
        metrics: named diagnostics, each [B] (averaged like the loss) or a scalar.
        state: the new `variables['state']`, all groups of it, or what the phase's `merge` takes.
    """

    values: Array
    metrics: Mapping[str, Array]
    state: Mapping[str, Any]


def average_states(before: Any, states: Any, weights: Array) -> Any:
    """Averages the states that the micro-batches of an update make of the one before it.

    Right for states that are affine in a mean over examples: moving averages, batch statistics. A
    leaf that is not a float, such as a counter of updates, is the same for all micro-batches.

    Args:
        before: the state before the update.
        states: the new ones, each leaf [K, ...] for K micro-batches.
        weights: examples that count in each micro-batch, [K].

    Returns:
        The state after the update; `before` where nothing counts.
    """

    def average(old: Array, new: Array) -> Array:
        if len(weights) == 1 or not jnp.issubdtype(new.dtype, jnp.floating):
            return new[0]
        shares = weights.reshape(-1, *[1] * (new.ndim - 1))
        # The sum is divided, not the weights: the mean of equal whole numbers is exact.
        mean = jnp.sum(shares * new, axis=0) / jnp.maximum(jnp.sum(weights), 1.0)
        return jnp.where(jnp.sum(weights) > 0, mean, old).astype(new.dtype)

    return jax.tree.map(average, before, states)


@dataclass(frozen=True)
class Phase:
    """One turn of one player.

    Attributes:
        name: names the optimizer and the metrics of this turn.
        trains: the parameter groups that it updates; all others are constants to it.
        loss: `(variables, batch, key) -> LossOutput`, pure.
        repeats: updates per step, each on its own slice of the batch (the critic of a WGAN: 5).
            All schedules follow the step: those of the optimizer (learning rate, weight decay,
            injected hyperparameters) have one value in all updates of a step, as `Scheduled` fields
            have. Adam's bias correction counts updates.
        merge: `(state before, states [K, ...], weights [K]) -> state`, pure; called once per update
            with what `loss` made of the same state in each of its K micro-batches (see
            `average_states`). For what is not affine in a mean over examples, such as counts.
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[[Variables, Batch, Array], LossOutput]
    repeats: int = 1
    merge: Callable[[Any, Any, Array], Any] = average_states


@flax.struct.dataclass
class LogProb:
    """Log-probability of each example with what kind of number it is.

    Attributes:
        value: [B] in nats.
        kind: 'exact'; 'lower_bound' (true in expectation, such as the ELBO); or 'estimate'
            (neither).
        density: whether it is a log-density of real x rather than a log-probability of discrete x.
    """

    value: Array
    kind: Kind = flax.struct.field(pytree_node=False)
    density: bool = flax.struct.field(pytree_node=False, default=False)


class GenerativeModel(Protocol):
    """What the training loop asks of a model.

    Where a model has them, these attributes are compared with the data before a run begins:
    `event_shape`, the shape of one preprocessed example; `num_classes`, None without labels;
    `vocab_size`, how many tokens there are; and `data_values`, a `Values`.
    """

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The turns of one step, in order."""

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` is the first training batch, for shapes and
        statistics.
        """

    def sample(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """Draws [num, *event] in the space of the preprocessed data; `label` is int32 [num].

        A model that only translates (`HasTranslation`) has none.
        """


@runtime_checkable
class HasLogProb(Protocol):
    """A model that can tell how likely data are."""

    def log_prob(self, variables: Variables, x: Array, key: Array) -> LogProb:
        """Log-probability of x [B, *event]."""


@runtime_checkable
class HasMeans(Protocol):
    """A model whose samples are noise around a mean, such as a VAE with a Bernoulli likelihood."""

    def sample_mean(
        self, variables: Variables, key: Array, num: int, *, label: Array | None = None
    ) -> Array:
        """The means [num, *event] of what `sample` draws with the same key."""


@runtime_checkable
class HasEncoder(Protocol):
    """A model with latent codes."""

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Draws a code z for each x [B, *event]."""

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """The expected x [B, *event] of each code."""


@runtime_checkable
class HasNormalCodes(Protocol):
    """A model that draws the codes of an example, and draws them from a normal."""

    def code_moments(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the codes that `encode` draws of x [B, *event]."""


@runtime_checkable
class HasFeatures(Protocol):
    """A model whose representation can serve another task."""

    def features(self, variables: Variables, x: Array) -> Array:
        """Features [B, D] of x [B, *event], without randomness."""


@runtime_checkable
class HasTranslation(Protocol):
    """A model that translates between two domains; its data are x [B, 2, *shape]."""

    def translate(
        self, variables: Variables, x: Array, direction: Literal['ab', 'ba'] = 'ab'
    ) -> Array:
        """What x [B, *shape] of the first domain is in the second, or the other way round."""


def num_params(variables: Variables) -> int:
    """The number of trained parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
