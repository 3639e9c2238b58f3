"""What models that sample in few network passes share: the network and the interface."""

from abc import abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.diffusion.continuous_base import ContinuousModel
from genjax.models.diffusion.sampling import FewStepSampling


class FewStepModel(ContinuousModel):
    """Base class: a network of x, its time and a condition, passed `sampling.steps` times.

    Attributes:
        time_scale: scale of the time embedding if the network's `time_scale` is None.
    """

    time_scale: ClassVar[float] = flax_utils.SMOOTH_TIME
    sampling: FewStepSampling

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('network', ('network',), self._loss),)

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
