"""What models that sample in few network passes share: the network and the interface."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables
from genjax.models.diffusion.sampling import FewStepSampling


class FewStepModel(ABC):
    """Base class: a network of x, its time and a condition, passed `sampling.steps` times.

    Attributes:
        time_scale: scale of the time embedding if the network's `time_scale` is None.
    """

    time_scale: ClassVar[float] = flax_utils.SMOOTH_TIME
    network: nn.Module
    sampling: FewStepSampling
    num_classes: int | None
    context_shape: tuple[int, ...] | None

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        flax_utils.event_shape(self.network, 'network')
        conditions.check(self, network=self.network)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.network, 'network')

    @property
    def data_values(self) -> Values:
        return Values(type(self).__name__, unit=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

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

    @abstractmethod
    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput: ...

    @property
    def _network(self) -> nn.Module:
        """The network with this model's condition and `time_scale`."""
        network = conditions.with_condition(self.network, self)
        return flax_utils.with_time_scale(network, self.time_scale)

    def _output(
        self, variables: Variables, x: Array, time: Array, condition: Array | None, **options: Any
    ) -> tuple[Array, Any]:
        """Computes the network's output in float32, and the new state."""
        out, state = flax_utils.apply(
            self._network, variables, 'network', x, time, condition, **options
        )
        return out.astype(jnp.float32), state


def per_example(values: Array, x: Array) -> Array:
    """Reshapes [B] to [B, 1, ...] with the dimensions of x."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))
