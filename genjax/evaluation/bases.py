"""Base classes for metrics: means over examples, and comparisons of samples with data."""

import abc
import functools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import (
    context_scale,
    contexts,
    draw_given,
    examples,
    label_protocol,
    with_contexts,
)
from genjax.evaluation.likelihood import Moments, masked_moments
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True, kw_only=True)
class PerExample(Evaluator):
    """Means over the examples of a split of per-example values, computed by a subclass.

    Gives the mean of each of the `values`, the 'stderr' of the first over the examples, and
    'protocol'. This class handles batches, padding, sharding and compilation.

    Attributes:
        batch_size: examples per batch.
    """

    batch_size: int = 500

    NEEDS: ClassVar[tuple[str, ...]] = ()
    """Methods of the model that `values` calls."""

    @abc.abstractmethod
    def values(
        self,
        model: Any,
        variables: Variables,
        data: EvaluationData,
        batch: Mapping[str, Array],
        key: Array,
    ) -> dict[str, Array]:
        """Computes the values of the examples of a batch. This method is compiled.

        Args:
            model: the model.
            variables: its parameters and state.
            data: the data set and the preprocessing; do not read its batches.
            batch: 'x' [B, ...] as in the data set, 'label' [B] if there are labels, 'mask' [B].
            key: PRNG key of the batch.

        Returns:
            Values [B] by result name.
        """

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it lacks a method or the split is empty."""
        moments = self.moments(model, variables, data, key)
        first = next(iter(moments.values()))
        return {
            **{name: total.mean for name, total in moments.items()},
            'stderr': first.standard_error,
            'protocol': f'{data.split} ({first.count:.0f} examples)',
        }

    def moments(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> dict[str, Moments]:
        """Moments of the `values` over the split; raises like a call."""
        for method in self.NEEDS:
            require(self, model, method)
        parts = []
        for batch in data.batches(self.batch_size):
            part, key = _batch_moments(self, model, data, variables, batch, key)
            parts.append(part)
        if not parts:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        moments = {name: Moments() for name in parts[0]}
        for part in fetch(parts):
            for name, total in moments.items():
                total.add(*map(float, part[name]))
        return moments


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _batch_moments(
    evaluator: PerExample,
    model: Any,
    data: EvaluationData,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[OrderedDict[str, tuple[Array, ...]], Array]:
    """Moments of the values of one batch, in their order, and the key for the next batch."""
    next_key, key = jax.random.split(key)
    values = evaluator.values(model, variables, data, batch, key)
    moments = ((name, masked_moments(each, batch['mask'])) for name, each in values.items())
    return OrderedDict(moments), next_key


@dataclass(frozen=True, kw_only=True)
class PerSample(Evaluator):
    """A comparison of samples with as many examples of a split.

    Gives the results of a subclass's `compare`, and 'protocol'. A conditional model is sampled with
    the labels or contexts of the split. Of one with contexts, pairs are compared: examples are
    vectors with their context appended, scaled to the variance of x, so that a model that ignores
    the context is told from the data.

    Attributes:
        num_samples: number of samples, and of examples; fewer if the split is smaller.
        batch_size: samples per batch.
        as_stored: compare in the range of the data, rather than in the space of the model.
    """

    num_samples: int = 5000
    batch_size: int = 250
    as_stored: bool = True

    @abc.abstractmethod
    def compare(self, samples: np.ndarray, examples: np.ndarray) -> Results:
        """Computes the results from `samples` [N, *event] and `examples` [N, *event], or pairs
        [N, D + F] with contexts; a 'protocol' among them is prepended to that of the base class.
        """

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it cannot be sampled."""
        require(self, model, 'sample')
        data_key, key = jax.random.split(key)
        real = examples(data, self.num_samples, data_key, self.batch_size)
        if not len(real):
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        drawn, used = draw_given(data, model, variables, len(real), key, self.batch_size)
        if self.as_stored:
            real, drawn = (fetch(data.preprocess.inverse(jax.device_put(x))) for x in (real, drawn))
        if used is not None:
            own = contexts(model, data, self.num_samples, self.batch_size)
            scale = context_scale(own, real)
            drawn, real = with_contexts(drawn, used, scale), with_contexts(real, own, scale)
        results = self.compare(drawn, real)
        own = [str(results['protocol'])] if 'protocol' in results else []
        sizes = f'{len(real)} of {data.split} and {len(real)} samples{label_protocol(model, data)}'
        stored = ['as stored'] if self.as_stored else []
        return {**results, 'protocol': ', '.join([*own, sizes, *stored])}
