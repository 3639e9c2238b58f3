"""Smoothness of samples along paths between latents."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.draws import label_protocol, sampled_conditions
from genjax.models.base import Variables
from genjax.models.conditions import is_conditional
from genjax.models.precision import full_precision
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class PerceptualPathLength(Evaluator):
    """Perceptual path length (Karras et al., 2019, section 4.1), for models with `to_latent` and
    `synthesise` (StyleGAN).

    Gives 'w', along straight lines in w; 'z', along great circles in z; and 'protocol'. Each is
    E[d(x(t), x(t + ε))² / ε²] for uniform t in [0, 1], without the smallest and largest 1 % of the
    steps. Smaller values mean a less curved space; the path length of a model is 'w'.

    Attributes:
        num_samples: paths per space.
        epsilon: step ε along the path.
        features: maps images [B, *event], in the space of the model, to features [B, ...] whose
            Euclidean distance is d; None: the images themselves. LPIPS features give the metric of
            the paper.
        batch_size: paths per batch.
    """

    num_samples: int = 10_000
    epsilon: float = 1e-4
    features: Callable[[Array], Array] | None = None
    batch_size: int = 200

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no style latents."""
        for method in ('to_latent', 'synthesise'):
            require(self, model, method)
        size, given = self.batch_size, {}
        if is_conditional(model):
            key, condition_key = jax.random.split(key)
            given = sampled_conditions(model, data, self.num_samples, condition_key, size)
        steps = []
        for start in range(0, self.num_samples, size):
            part = {
                name: np.resize(values[start : start + size], (size, *values.shape[1:]))
                for name, values in given.items()
            }
            step, key = _steps(self, model, variables, key, jax.device_put(part))
            steps.append(fetch(step))
        w, z = np.concatenate(steps, axis=1)[:, : self.num_samples]
        what = 'pixels' if self.features is None else getattr(self.features, '__name__', 'features')
        protocol = f'{self.num_samples} paths, step {self.epsilon:g}, distances of {what}'
        protocol += label_protocol(model, data)
        return {'w': trimmed_mean(w), 'z': trimmed_mean(z), 'protocol': protocol}


def trimmed_mean(steps: np.ndarray) -> float:
    """Mean of the steps [N] between their 1st and 99th percentile."""
    low = np.percentile(steps, 1, method='lower')
    high = np.percentile(steps, 99, method='higher')
    return float(np.mean(steps[(steps >= low) & (steps <= high)]))


def slerp(a: Array, b: Array, t: Array) -> Array:
    """Spherical interpolation at `t` [B, 1] between the directions of a and b [B, D], on the sphere
    of radius sqrt(D) (Shoemake, 1985).
    """
    a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    across = b - cosine * a
    across = across / jnp.maximum(jnp.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
    angle = t * jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    return math.sqrt(a.shape[-1]) * (jnp.cos(angle) * a + jnp.sin(angle) * across)


@functools.partial(jax.jit, static_argnums=(0, 1))
@full_precision
def _steps(
    evaluator: PerceptualPathLength,
    model: Any,
    variables: Variables,
    key: Array,
    given: Mapping[str, Array],
) -> tuple[Array, Array]:
    """Squared steps [2, B] over ε², in w and in z, and the key for the next batch."""
    next_key, a_key, b_key, t_key = jax.random.split(key, 4)
    # Finite differences over ε vanish in half precision.
    if hasattr(model, 'generator'):
        model = dataclasses.replace(model, generator=model.generator.clone(dtype='float32'))
    num, epsilon = evaluator.batch_size, evaluator.epsilon
    a, b = (jax.random.normal(key, (num, model.latent_dim)) for key in (a_key, b_key))
    t = jax.random.uniform(t_key, (num, 1))
    w_a, w_b = (model.to_latent(variables, z, **given) for z in (a, b))

    def features(w):
        x = model.synthesise(variables, w)
        return (x if evaluator.features is None else evaluator.features(x)).reshape(num, -1)

    paths = (
        lambda t: w_a + t * (w_b - w_a),
        lambda t: model.to_latent(variables, slerp(a, b, t), **given),
    )
    steps = [
        jnp.sum((features(path(t + epsilon)) - features(path(t))) ** 2, axis=-1) / epsilon**2
        for path in paths
    ]
    return jnp.stack(steps), next_key
