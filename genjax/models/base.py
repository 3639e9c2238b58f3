"""The interface that all generative models implement.

A model is a frozen dataclass of Flax modules and numbers, with pure methods. A training step
consists of one or more phases (a GAN: one per player); each `Phase` has its own loss and parameter
groups.
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
"""`{'params': {group: tree}, 'state': {group: tree}}`. State is updated in training without a
gradient: batch statistics, spectral-norm vectors, codebook averages; most models have none."""

Batch = Mapping[str, Array]
"""`x` [B, *event]; optionally `label` int32 [B], `context` float32 [B, *context_shape], and `mask`
bool [B] (False: padding, ignored)."""

CONDITIONS: Mapping[str, str] = {'label': 'num_classes', 'context': 'context_shape'}
"""The conditions in a batch, and the attributes of models and data sets that declare them."""

Kind = Literal['exact', 'lower_bound', 'estimate']


@dataclass(frozen=True)
class Values:
    """Range of preprocessed data that a model expects.

    Attributes:
        of: the component with this requirement, named in errors, such as 'Bernoulli'.
        low: smallest value.
        high: largest value.
        whole: integers only.
        unit: values of order 1, the scale of network inputs and noise.
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
    """Output of a phase's loss.

    Attributes:
        values: the loss of each example, [B]; the train step takes the masked mean.
        metrics: named diagnostics, each [B] (averaged like the loss) or a scalar.
        state: the new `variables['state']` of all groups, or the input of the phase's `merge`.
        handed: arrays for the next phase, if that `takes_over`: what depends on no parameters that
            this phase trains, and need not be computed again.
    """

    values: Array
    metrics: Mapping[str, Array]
    state: Mapping[str, Any]
    handed: Any = ()


def average_states(before: Any, states: Any, weights: Array) -> Any:
    """Averages the new states of an update's micro-batches.

    Exact for states that are affine in a mean over examples: moving averages, batch statistics. A
    leaf that is not a float, such as an update counter, is equal in all micro-batches.

    Args:
        before: the state before the update.
        states: the new states, each leaf [K, ...] for K micro-batches.
        weights: number of unmasked examples in each micro-batch, [K].

    Returns:
        The state after the update; `before` if all examples are masked.
    """

    def average(old: Array, new: Array) -> Array:
        if len(weights) == 1 or not jnp.issubdtype(new.dtype, jnp.floating):
            return new[0]
        shares = weights.reshape(-1, *[1] * (new.ndim - 1))
        mean = jnp.sum(shares * new, axis=0) / jnp.maximum(jnp.sum(weights), 1.0)
        # The mean of equal numbers rounds: what a phase leaves alone, or counts, stays exact.
        mean = jnp.where(jnp.all(new == new[0], axis=0), new[0], mean)
        return jnp.where(jnp.sum(weights) > 0, mean, old).astype(new.dtype)

    return jax.tree.map(average, before, states)


@dataclass(frozen=True)
class Phase:
    """One part of a training step: a loss, and the parameters that it updates.

    Attributes:
        name: names the optimizer and the metrics of this phase.
        trains: the parameter groups that it updates; all others are held constant.
        loss: `(variables, batch, key) -> LossOutput`, pure; if `takes_over`, `(variables, batch,
            key, handed) -> LossOutput`.
        repeats: updates per step, each on its own slice of the batch (the critic of a WGAN: 5).
            All schedules follow the step: those of the optimizer (learning rate, weight decay,
            injected hyperparameters) and `Scheduled` fields have one value in all updates of a
            step. Adam's bias correction counts updates.
        merge: `(state before, states [K, ...], weights [K]) -> state`, pure; called once per update
            with the states that `loss` returned for its K micro-batches, all computed from the same
            state (see `average_states`). Override it for state that is not affine in a mean over
            examples, such as counts.
        takes_over: `loss` takes what the phase before handed on for the same examples. Both update
            once a step.
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[..., LossOutput]
    repeats: int = 1
    merge: Callable[[Any, Any, Array], Any] = average_states
    takes_over: bool = False


@flax.struct.dataclass
class LogProb:
    """Per-example log-probability and whether it is exact, a bound or an estimate.

    Attributes:
        value: [B] in nats.
        kind: 'exact'; 'lower_bound' (in expectation, such as the ELBO); or 'estimate' (neither).
        density: True for a log-density of real x, False for a log-probability of discrete x.
    """

    value: Array
    kind: Kind = flax.struct.field(pytree_node=False)
    density: bool = flax.struct.field(pytree_node=False, default=False)


class GenerativeModel(Protocol):
    """Interface that the training loop requires.

    Before a run, the data are checked against these optional attributes of the model:
    `event_shape`, the shape of one preprocessed example; `num_classes`, None without labels, or
    `context_shape`, None without contexts; `takes_unlabelled`, true if a label of -1 (unlabelled)
    is allowed in training; `vocab_size`, the number of tokens; and `data_values`, a `Values`. A
    model with neither labels nor contexts need not take these arguments.
    """

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of one training step, in order."""

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` is the first training batch, for shapes and
        statistics.
        """

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event] in the space of the preprocessed data, given a label int32 [num] or a
        context [num, *context_shape]. Missing labels are drawn uniformly; a context has no default.

        Models that only translate (`HasTranslation`) or classify do not implement it.
        """


@runtime_checkable
class HasLogProb(Protocol):
    """A model that computes the log-probability of data."""

    def log_prob(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> LogProb:
        """Log-probability of x [B, *event], given a label int32 [B] or a context [B,
        *context_shape]; without a label, of the mixture over labels.
        """


@runtime_checkable
class HasMeans(Protocol):
    """A model that draws samples around a mean, such as a VAE with a Bernoulli likelihood."""

    def sample_mean(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the means [num, *event] of the samples of `sample` with the same key."""


@runtime_checkable
class HasEncoder(Protocol):
    """A model with latent codes; one with conditions appends them to the codes."""

    def encode(
        self,
        variables: Variables,
        x: Array,
        key: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws a code z for each x [B, *event]."""

    def decode(self, variables: Variables, z: Array, key: Array) -> Array:
        """Computes the expected x [B, *event] given each code."""


@runtime_checkable
class HasNormalCodes(Protocol):
    """A model whose encoder is stochastic and Gaussian."""

    def code_moments(self, variables: Variables, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the codes that `encode` draws for x [B, *event]."""


def has_normal_codes(model: Any) -> bool:
    """True if codes are Gaussian given x: `code_moments`, and no flow, label or context."""
    changed = ('flow', 'num_classes', 'context_shape')
    return isinstance(model, HasNormalCodes) and all(
        getattr(model, name, None) is None for name in changed
    )


@runtime_checkable
class HasFeatures(Protocol):
    """A model that provides a representation for downstream tasks."""

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes deterministic features [B, D] of x [B, *event]."""


@runtime_checkable
class HasClasses(Protocol):
    """A model that classifies: a classifier, or a GAN whose discriminator has class heads."""

    def classify(self, variables: Variables, x: Array) -> Array:
        """Computes logits [B, K] of the classes of x [B, *event]: p(class | x) is their softmax."""


@runtime_checkable
class HasTranslation(Protocol):
    """A model that translates between two domains; its data are x [B, 2, *shape]."""

    def translate(
        self, variables: Variables, x: Array, direction: Literal['ab', 'ba'] = 'ab'
    ) -> Array:
        """Translates x [B, *shape] from the first domain to the second ('ab') or back ('ba')."""


def num_params(variables: Variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
