"""The base class of diffusion and few-step models of continuous data."""

from abc import ABC, abstractmethod

import flax.linen as nn
import jax
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import Values, Variables


class ContinuousModel(ABC):
    """Base class of diffusion and few-step models: a network, which may take a condition, with the
    shape of an example.
    """

    network: nn.Module
    num_classes: int | None
    context_shape: tuple[int, ...] | None

    def __post_init__(self):
        flax_utils.event_shape(self.network, 'network')
        conditions.check(self, network=self.network)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.network, 'network')

    @property
    def data_values(self) -> Values:
        return Values(type(self).__name__, unit=True)

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        label_key, key = jax.random.split(key)
        condition = conditions.to_sample(self, label_key, num, label, context)
        return self._sample(variables, key, num, condition)

    @abstractmethod
    def _sample(
        self, variables: Variables, key: Array, num: int, condition: Array | None
    ) -> Array: ...
