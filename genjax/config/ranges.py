"""Ranges of numeric arguments by name: a name means the same in all constructors of genjax, Flax
and optax, so its range is stated once, here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genjax.errors import nearest

_PACKAGES = ('genjax', 'flax', 'optax')
_DTYPES = ('float32', 'bfloat16', 'float16')
_SHORT = {'bf16': 'bfloat16', 'f16': 'float16', 'fp16': 'float16', 'f32': 'float32',
          'fp32': 'float32'}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Attributes:
        low: lower bound.
        high: upper bound.
        above: exclude `low`.
        below: exclude `high`.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.above else value >= self.low
        below = value < self.high if self.below else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        low = ('more than' if self.above else 'at least') + f' {self.low:g}'
        if math.isinf(self.high):
            return low
        high = f'{self.high:g}' if self.high < 2**20 else f'{self.high:.0f}'
        return f'{low} and ' + ('less than' if self.below else 'at most') + f' {high}'


_NAMES = (
    (
        Range(1),
        """
        features max_features head_features latent_features hidden width shape num_layers num_heads
        latent_dim expansion kernel kernel_size patch groups num_groups group_size stddev_group
        out_channels components bins pieces pack num_codes num_values num_tokens vocab_size
        num_classes context context_shape frames stride pool fsdp tensor per_class num_unlabelled
        batch_size num_samples eval_samples num_draws num_chains num_leapfrog num_critic accumulate
        top_k beams window chain num_masks depth sides bottleneck steps num_steps steps_per_call
        log_every keep patience r1_every path_length_every
        """,
    ),
    (
        Range(0),
        """
        num_blocks mapping_layers given overlap every checkpoint_every keep_every sample_every
        warmup_steps pool_size
        learning_rate weight_decay eps free_bits commitment r1 r2 gradient_penalty lecam path_length
        noise_scale smoothing norms denoise mmd entropy diversity temperature choice_temperature
        truncation
        """,
    ),
    (
        Range(0, above=True),
        'clip_norm max_norm max_delta time_scale data_scale rho sigma_max tolerance bandwidth'
        ' repetition_penalty',
    ),
    (Range(0, 1, above=True), 'top_p'),
    (
        Range(0, 1, below=True),
        'b1 b2 ema decay dropout label_smoothing condition_dropout instant consistent',
    ),
    (Range(0, 1), 'style_mixing probability quantile restart elbo_share'),
    (Range(0, 2**32 - 1), 'seed'),  # JAX reduces larger seeds modulo 2**32
)
_RANGES = {name: allowed for allowed, names in _NAMES for name in names.split()}


def in_range(constructor: Callable, name: str, value: Any) -> Any:
    """Checks the value of an argument and returns it; a dtype by its full name.

    Args:
        constructor: constructor of the argument; arguments of packages other than genjax, Flax and
            optax are not checked. It may have ranges of its own, `RANGES`, by name.
        name: name of the argument.
        value: a number, a tuple of them, or a dtype; anything else is returned unchanged.

    Raises:
        ValueError: it is out of range.
    """
    if (getattr(constructor, '__module__', None) or '').partition('.')[0] not in _PACKAGES:
        return value
    if name.endswith('dtype') and isinstance(value, str):
        value = _SHORT.get(value, value)
        if value not in _DTYPES:
            known = ', '.join(_DTYPES)
            raise ValueError(f'{value!r} is not one of {known}{nearest(value, _DTYPES)}')
    check(name, value, getattr(constructor, 'RANGES', {}))
    return value


def check(name: str, value: Any, own: Mapping[str, Range] = _RANGES) -> None:
    """Raises ValueError if a number, or one of a tuple, is out of the range of its name, of its
    constructor's `own` or for all.
    """
    allowed = own.get(name, _RANGES.get(name))
    for number in value if isinstance(value, tuple) else (value,):
        if allowed and type(number) in (int, float) and number not in allowed:
            raise ValueError(f'must be {allowed}, not {number}')
