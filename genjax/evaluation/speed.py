"""How fast a model draws."""

import statistics
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import draw_like
from genjax.evaluation.passes import network_passes
from genjax.hardware.flops import flops_of
from genjax.models.base import GenerativeModel, Variables, num_params
from genjax.protocols import protocol

_COUNTED = 12  # samples of the program whose operations and passes are counted


@dataclass(frozen=True, kw_only=True)
class Speed(Evaluator):
    """Speed of sampling on the devices at hand, with transfers to the host, without compilation.

    Gives 'samples_per_s' (median over the repeats) and its smallest and largest value,
    'ms_one_sample', 'network_evaluations' of a sample, 'gflops_per_sample' (products only; absent
    if they cannot be counted), 'parameters' and 'protocol'.

    Attributes:
        num_samples: samples drawn at a time.
        repeats: timed repeats, after one that compiles.
    """

    num_samples: int = 256
    repeats: int = 5

    def __post_init__(self):
        if self.num_samples < 1 or self.repeats < 1:
            raise UserError(
                f'Speed: num_samples={self.num_samples} and repeats={self.repeats} must be positive'
            )

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it cannot be sampled."""
        require(self, model, 'sample')

        def seconds(num: int) -> list[float]:
            times = []
            for _ in range(self.repeats + 1):
                start = time.perf_counter()
                draw_like(data, model, variables, num, key, num)
                times.append(time.perf_counter() - start)
            return times[1:]

        rates = sorted(self.num_samples / each for each in seconds(self.num_samples))

        def few(variables: Variables, key: Array) -> Array:
            return _sample(model, variables, key)

        flops = flops_of(few, variables, key)
        counted = {} if flops.uncounted else {'gflops_per_sample': flops.model / _COUNTED / 1e9}
        device = jax.devices()[0]
        return {
            'samples_per_s': statistics.median(rates),
            'samples_per_s_min': rates[0],
            'samples_per_s_max': rates[-1],
            'ms_one_sample': 1e3 * statistics.median(seconds(1)),
            'network_evaluations': network_passes(few, variables, key, num=_COUNTED),
            **counted,
            'parameters': num_params(variables),
            'protocol': protocol(
                devices=f'{jax.device_count()} x {device.device_kind}',
                samples=self.num_samples,
                repeats=self.repeats,
            ),
        }


def _sample(model: GenerativeModel, variables: Variables, key: Array) -> Array:
    """Draws a few samples of any condition."""
    options = {}
    if getattr(model, 'num_classes', None) is not None:
        options['label'] = jnp.zeros(_COUNTED, jnp.int32)
    if getattr(model, 'context_shape', None) is not None:
        options['context'] = jnp.zeros((_COUNTED, *model.context_shape))
    return model.sample(variables, key, _COUNTED, **options)
