"""Classes that configs of tests are made of."""

import typing
from dataclasses import dataclass, field

import flax.linen as nn


def double(x):
    return 2 * x


@dataclass(frozen=True)
class Noise:
    scale: float | None = None


@dataclass(frozen=True)
class Posterior:
    noise: Noise | None = None


@dataclass(frozen=True)
class Model:
    network: object
    noise: Noise = field(default_factory=Noise)
    beta: float = 1.0
    sizes: tuple[int, ...] = (2, 3)
    loss: typing.Literal['hinge', 'wasserstein'] = 'hinge'
    name: str = 'x'
    function: typing.Callable = double
    flag: bool = False
    count: int | None = None


@dataclass(frozen=True)
class Positive:
    value: int

    def __post_init__(self):
        if self.value < 1:
            raise ValueError('value must be positive')


class Network(nn.Module):
    features: int = 3
    dtype: str = 'float32'

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.features)(x)
