"""Standardisation by the mean and standard deviation of the training data."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.pipeline import random_subset
from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset, Source
from genjax.errors import UserError

_EXAMPLES = 65_536  # that the moments are of, where the training split has more
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Standardise:
    """Maps x to (x - mean) / std along the last axis: by channel of images, by column of tables.

    Without values, these are the mean and the standard deviation of the training split (of a fixed
    random choice of 65,536 examples of it, if it has more) after the steps before this one. They
    are computed when they are first needed, and recorded with the run, which is used with these
    values from then on: samples need no data.

    Attributes:
        mean: one for all channels, one of each, or None.
        std: likewise.
    """

    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None

    bound: ClassVar[bool] = False
    takes_pixels: ClassVar[bool] = False

    def __post_init__(self):
        if (self.mean is None) != (self.std is None):
            raise UserError('Standardise: give both mean and std, or neither')
        if self.std is not None and np.any(np.asarray(self.std) <= 0):
            raise UserError(f'Standardise: std={self.std} must be positive')
        object.__setattr__(self, '_measure', None)

    @property
    def provenance(self) -> Mapping[str, Any] | None:
        """The moments of the data, 'mean' and 'std'; None if they were given."""
        return None if self._measure is None else self._measure()

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns the standardised `x`; `key` is not used.

        Raises:
            UserError: there are not as many channels as values.
        """
        del key
        mean, std = self._moments(x.shape[-1])
        log_det = -jnp.float32(np.log(std).sum() * (np.prod(x.shape[1:]) / x.shape[-1]))
        return (x.astype(jnp.float32) - mean) / std, jnp.full(len(x), log_det)

    def inverse(self, y: Array) -> Array:
        """Returns `y` in the range of x."""
        mean, std = self._moments(y.shape[-1])
        return y * std + mean

    def _moments(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, float32 [channels]."""
        found = self.provenance or {'mean': self.mean, 'std': self.std}
        if found['mean'] is None:
            raise UserError(
                'Standardise has no mean and std: give them, or use it in an Experiment, whose '
                'training data have them'
            )
        for name in ('mean', 'std'):
            if np.ndim(found[name]) and len(found[name]) != channels:
                raise UserError(
                    f'Standardise: {len(found[name])} values of {name}, and the data have '
                    f'{channels} channels'
                )
        mean, std = (np.asarray(found[name], np.float32) for name in ('mean', 'std'))
        return np.broadcast_to(mean, channels), np.broadcast_to(std, channels)


def measuring(preprocess: Chain, dataset: Dataset) -> Chain:
    """Returns the steps such that those without values take them from the training split when they
    are first needed.
    """

    def measured(number: int) -> Callable[[], Mapping[str, Any]]:
        return lambda: _measured(dataset.source('train'), Chain(steps[:number]))

    steps: tuple = ()
    for number, step in enumerate(preprocess.steps):
        steps += (_with(step, measured(number)),)
    return preprocess if steps == preprocess.steps else Chain(steps)


def recorded(preprocess: Chain, provenance: Mapping[str, Mapping[str, Any]]) -> Chain:
    """Returns the steps with the values that a run has recorded, `Chain.provenance`."""
    steps = tuple(
        _with(step, functools.partial(provenance.get, f'steps[{number}]'), again=True)
        for number, step in enumerate(preprocess.steps)
    )
    return preprocess if steps == preprocess.steps else Chain(steps)


def _with(step: Any, measure: Callable[[], Mapping[str, Any]], again: bool = False) -> Any:
    """Returns a step that measures so, if it is a `Standardise` without values."""
    if not isinstance(step, Standardise) or step.mean is not None:
        return step
    if step._measure is not None and not again:
        return step
    step = Standardise()
    object.__setattr__(step, '_measure', measure)
    return step


_known: dict[tuple[str, str], dict[str, Any]] = {}


def _measured(source: Source, before: Chain) -> dict[str, Any]:
    """Returns the moments of preprocessed examples along the last axis, in double precision."""
    key = (source.fingerprint, repr(before))
    if key in _known:
        return _known[key]
    rows = random_subset(len(source), _EXAMPLES)
    count, mean, squares = 0, 0.0, 0.0  # Chan, Golub & LeVeque (1979)
    for start in range(0, len(rows), _CHUNK):
        x = source[rows[start : start + _CHUNK]]['x']
        if before.steps:
            with jax.ensure_compile_time_eval():  # it may be called inside a trace
                x = np.asarray(before(jnp.asarray(x), jax.random.key(start))[0])
        x = x.reshape(-1, x.shape[-1]).astype(np.float64)
        total, difference = count + len(x), x.mean(axis=0) - mean
        squares = squares + ((x - x.mean(axis=0)) ** 2).sum(axis=0)
        squares = squares + difference**2 * count * len(x) / total
        mean, count = mean + difference * len(x) / total, total
    std = np.sqrt(squares / count)
    for channel in np.flatnonzero(~(std > 0)):
        raise UserError(
            f'Standardise: channel {channel} of the training data is constant, {mean[channel]:g}: '
            'leave it out'
        )
    moments = {'mean': mean.tolist(), 'std': std.tolist()}
    digest = hashlib.sha256(json.dumps(moments).encode()).hexdigest()
    _known[key] = {'name': 'the mean and std of other data', 'fingerprint': digest, **moments}
    return _known[key]
