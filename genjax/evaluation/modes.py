"""Mode coverage of samples from a mixture with known centres."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import draw_like, label_protocol
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel.host import fetch


def mode_counts(samples: Array, centres: Array, radius: Array | float) -> tuple[Array, Array]:
    """Counts samples by their nearest centre.

    Args:
        samples: [N, D]; non-finite ones are not counted.
        centres: [K, D].
        radius: maximum distance of a high-quality sample from its centre.

    Returns:
        Counts of all samples, and of high-quality ones, int32 [K] each.
    """
    squared = jnp.sum((samples[:, None] - centres) ** 2, axis=-1)
    nearest = jax.nn.one_hot(jnp.argmin(squared, axis=-1), len(centres), dtype=jnp.int32)
    distance = jnp.sqrt(jnp.min(squared, axis=-1))
    finite = jnp.isfinite(distance)[:, None]
    good = (distance <= radius)[:, None]
    return jnp.sum(nearest * finite, axis=0), jnp.sum(nearest * good, axis=0)


def modes_covered(high_quality: np.ndarray) -> int:
    """Number of modes with a high-quality sample (Srivastava et al., VEEGAN, 2017)."""
    return int(np.sum(high_quality > 0))


def reverse_kl(counts: np.ndarray) -> float:
    """KL(sample mode frequencies ‖ uniform), in nats.

    The "reverse KL" of Lin et al., PacGAN (2018): of the model from the data, so that it stays
    finite when modes are lost.
    """
    shares = counts / max(np.sum(counts), 1)
    present = shares[shares > 0]
    return float(np.sum(present * np.log(present * len(counts))))


@dataclass(frozen=True)
class Modes(Evaluator):
    """Coverage of a uniform Gaussian mixture by samples, for data with `centres` and `scale`.

    Gives 'modes' (with at least one high-quality sample), 'num_modes', 'high_quality' (fraction of
    samples within `num_sigma` standard deviations of a centre), 'reverse_kl' in nats and
    'protocol'. For exact samples in the plane, 'high_quality' is 1 - exp(-num_sigma² / 2).

    Attributes:
        num_samples: number of samples.
        num_sigma: radius for high quality, in standard deviations of a component.
        batch_size: samples per batch.
    """

    num_samples: int = 10_000
    num_sigma: float = 4.0
    batch_size: int = 1000

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if the modes of the data are not known."""
        require(self, model, 'sample')
        if not hasattr(data.dataset, 'centres'):
            name = type(data.dataset).__name__
            raise UserError(f'Modes needs data with known centres (Gaussians); {name} has none')
        centres = jax.device_put(np.asarray(data.dataset.centres, np.float32))
        radius = jax.device_put(np.float32(self.num_sigma * data.dataset.scale))
        size = min(self.batch_size, self.num_samples)
        x = draw_like(data, model, variables, self.num_samples, key, size)
        parts = [
            _counts(data.preprocess, jax.device_put(x[start : start + size]), centres, radius)
            for start in range(0, len(x), size)
        ]
        counts, high_quality = np.sum(fetch(parts), axis=0)
        return {
            'modes': float(modes_covered(high_quality)),
            'num_modes': float(len(high_quality)),
            'high_quality': float(np.sum(high_quality) / self.num_samples),
            'reverse_kl': reverse_kl(counts),
            'protocol': f'{self.num_samples} samples, within {self.num_sigma:g} σ of a centre'
            + label_protocol(model, data),
        }


@functools.partial(jax.jit, static_argnums=0)
def _counts(preprocess: Any, x: Array, centres: Array, radius: Array) -> Array:
    """Counts [2, K] of samples x [B, *event] in the space of the model."""
    points = preprocess.inverse(x).reshape(len(x), -1)
    return jnp.stack(mode_counts(points, centres, radius))
