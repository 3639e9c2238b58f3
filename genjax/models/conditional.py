"""Base class of models that may take a condition, and learn p(x) as well."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.base import Batch
from genjax.models.checks import check_number

# `split(key)[i]` is `fold_in(key, i)`: far from the keys that losses and samplers split off.
_STREAM = 1 << 20


@dataclass(frozen=True, kw_only=True)
class GuidedSampling:
    """Sampling options of models with logits.

    Attributes:
        guidance: weight of classifier-free guidance (Ho & Salimans, 2022): logits are those without
            condition plus `guidance` times the difference to those with it. 1 is no guidance; the
            paper's w is this weight minus 1. None: no guidance, one network pass.
    """

    guidance: float | None = None


@dataclass(frozen=True, kw_only=True)
class ConditionalModel:
    """Base class of models with a network that may take a condition, and whose field `sampling` has
    the option `guidance`.

    Attributes:
        num_classes: if given, the network is cloned with this `num_classes` and takes a label.
        context_shape: if given, the network is cloned with it and takes a context of this shape.
        condition_dropout: fraction of training examples with the null condition. If it is not 0,
            the model learns p(x) as well, and takes the option `guidance`.
    """

    num_classes: int | None = None
    context_shape: tuple[int, ...] | None = None
    condition_dropout: float = 0.0

    def __post_init__(self):
        self._check_conditions(network=self.network)

    def _check_conditions(self, **networks: nn.Module) -> None:
        """Raises a UserError unless the networks, by role, can take the condition, and the sampling
        options fit it.
        """
        name = type(self).__name__
        conditions.check(self, **networks)
        check_number(f'{name}.condition_dropout', self.condition_dropout, 0.0, 1.0)
        if self._learns_null and not conditions.is_conditional(self):
            raise UserError(f'{name}.condition_dropout needs num_classes or context_shape')
        if self._passes == 2:
            self._check_learns_null('guidance')

    @property
    def _network(self) -> nn.Module:
        """The network with this model's condition."""
        return conditions.with_condition(self.network, self)

    @property
    def _learns_null(self) -> bool:
        rate = self.condition_dropout
        return not (isinstance(rate, int | float) and rate == 0)

    @property
    def _passes(self) -> int:
        """Number of rows of the network's batch for each sample."""
        return 1 if self.sampling.guidance is None else 2

    def _check_learns_null(self, user: str) -> None:
        if not self._learns_null:
            raise UserError(
                f'{user} asks the network for its output without a condition, which is not trained '
                f'with {type(self).__name__}.condition_dropout=0: give one, or train with .1'
            )

    def _training_condition(self, batch: Batch, key: Array) -> Array | None:
        """Returns the conditions of a batch, some dropped."""
        condition = conditions.of_batch(self, batch)
        if condition is None:
            return None
        key = jax.random.fold_in(key, _STREAM)
        return conditions.dropped(self, key, condition, self.condition_dropout)

    def _sampling_condition(
        self, key: Array, num: int, label: Array | None, context: Array | None
    ) -> Array | None:
        key = jax.random.fold_in(key, _STREAM)
        return conditions.to_sample(self, key, num, label, context)

    def _given_or_null(
        self, user: str, num: int, label: Array | None, context: Array | None
    ) -> Array | None:
        """Returns the condition of `num` examples; the null condition if none is given.

        Raises:
            UserError: the errors of `conditions.given`; or no label is given, and p(x) was not
                learned: the error names the `user`.
        """
        condition = conditions.given(self, label, context, needed=not self._learns_null)
        if condition is not None or not conditions.is_conditional(self):
            return condition
        self._check_learns_null(user)
        return conditions.null(self, num)

    def _exact_log_probs(
        self,
        log_probs: Callable[[Array | None], Array],
        num: int,
        label: Array | None,
        context: Array | None,
    ) -> Array:
        """Computes log p of each element of `num` examples given those before it, [B, T].

        Without a condition it is that of p(x): of the null condition if it was learned, otherwise
        of the mixture over uniformly drawn labels.

        Args:
            log_probs: the same for a condition, exact.
            num: B.
            label: int32 [B].
            context: [B, *context_shape].
        """
        if label is not None or self.num_classes is None or self._learns_null:
            return log_probs(self._given_or_null('log_prob', num, label, context))
        conditions.given(self, label, context)
        values = conditions.each_class(self, log_probs, num)  # [B, num_classes, T]
        # An impossible element stays so, and says nothing about the label of those after it.
        finite = jnp.where(values > -jnp.inf, values, 0.0)
        before = jnp.cumsum(finite, axis=-1) - finite
        return jax.nn.logsumexp(jax.nn.log_softmax(before, axis=1) + values, axis=1)

    def _guided(
        self, network: Callable[..., tuple[Array, Any]], condition: Array | None
    ) -> Callable[..., tuple[Array, Any]]:
        """Gives a network a condition, with the option `guidance` twice in one batch: the
        null condition of each sample, then its own.

        Args:
            network: (condition, x, ...) -> (logits, anything); further arguments are shared, or
                have `_passes` rows per sample.
            condition: [B, F] or None.

        Returns:
            (x [B, ...], ...) -> (logits [B, ...], anything).
        """
        if self._passes == 1:
            return functools.partial(network, condition)
        null = conditions.null(self, len(condition))
        both = conditions.paired(null, conditions.with_null(self, condition))

        def guided(x: Array, *others: Any) -> tuple[Array, Any]:
            out, rest = network(both, conditions.paired(x, x), *others)
            weak, strong = conditions.unpaired(out.astype(jnp.float32))
            return weak + self.sampling.guidance * (strong - weak), rest

        return guided
