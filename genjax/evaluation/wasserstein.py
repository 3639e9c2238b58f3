"""Wasserstein distance between samples and data: exact, and as estimated by a critic."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import draw_like, examples, label_protocol
from genjax.models.base import GenerativeModel, Variables
from genjax.models.precision import full_precision
from genjax.parallel.host import fetch


def wasserstein_1(a: np.ndarray, b: np.ndarray) -> float:
    """W₁ between the empirical distributions of the rows of `a` and `b`.

    Solves the assignment problem exactly: N³ operations in the worst case, seconds for N = 2000.
    For samples of the same continuous distribution it is about the distance of neighbouring points,
    not zero.

    Args:
        a: [N, ...].
        b: [N, ...].

    Raises:
        UserError: the samples are not of equal size, or not finite.
    """
    # Imported lazily: scipy is slow to import.
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (a, b))
    if a.shape != b.shape:
        raise UserError(f'wasserstein_1 needs samples of one shape, not {a.shape} and {b.shape}')
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        raise UserError('wasserstein_1: some values are not finite')
    cost = cdist(a, b)
    return float(np.mean(cost[linear_sum_assignment(cost)]))


@dataclass(frozen=True)
class CriticW1(Evaluator):
    """W₁ between samples and split as estimated by a critic, and exactly.

    For models with `discriminate`, whose loss is 'wasserstein'. By duality E D(data) -
    E D(samples) is at most W₁ times the Lipschitz constant of D, and equal for the best D. A
    gradient penalty holds that constant near 1, not at it: the gap is divided by the mean of ‖∇D‖
    on lines between random pairs, where the penalty acts.

    Gives 'critic' (that quotient), 'exact', 'ratio' of the two, 'slope' (the divisor) and
    'protocol'.

    Attributes:
        num_samples: number of samples, and of examples; fewer if the split is smaller.
        batch_size: samples per batch.
    """

    num_samples: int = 2000
    batch_size: int = 1000

    def __call__(
        self, model: GenerativeModel, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no critic."""
        require(self, model, 'discriminate')
        if getattr(model, 'loss', 'wasserstein') != 'wasserstein' or getattr(model, 'pack', 1) != 1:
            raise UserError("CriticW1 needs a GAN with loss='wasserstein' and pack=1")
        data_key, line_key, key = jax.random.split(key, 3)
        real = examples(data, self.num_samples, data_key, self.batch_size)
        fake = draw_like(data, model, variables, len(real), key, self.batch_size)
        gap, slope = fetch(_gap_and_slope(model, variables, real, fake, line_key))
        critic, exact = float(gap / slope), wasserstein_1(real, fake)
        return {
            'critic': critic,
            'exact': exact,
            'ratio': critic / exact,
            'slope': float(slope),
            'protocol': f'{len(real)} of {data.split} and {len(real)} samples'
            + label_protocol(model, data),
        }


@functools.partial(jax.jit, static_argnums=0)
@full_precision
def _gap_and_slope(
    model: Any, variables: Variables, real: Array, fake: Array, key: Array
) -> tuple[Array, Array]:
    """E D(real) - E D(fake), and the mean gradient norm of D between them."""

    def critic(x: Array) -> Array:
        return model.discriminate(variables, x)

    weight = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1))
    gradient = jax.grad(lambda x: jnp.sum(critic(x)))(real + weight * (fake - real))
    slope = jnp.linalg.norm(gradient.reshape(len(real), -1), axis=-1)
    return jnp.mean(critic(real)) - jnp.mean(critic(fake)), jnp.mean(slope)
