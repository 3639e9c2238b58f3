"""Multistep samplers: exponential integrators of the expected x, with a polynomial in the log-SNR
through its values at the last times.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models.checks import check_number
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import Denoiser, Sampler

_POINTS, _WEIGHTS = (np.float32(a) for a in np.polynomial.legendre.leggauss(16))
_FARTHEST = 1e3


@dataclass(frozen=True)
class Multistep(Sampler):
    """Solves the reverse process exactly but for the expected x, replaced by the polynomial through
    its last `order` values; of lower order in the first steps. One network pass per step.

    `Multistep(3)` is DPM-Solver++(3M) (Lu et al., 2022), `Multistep(2, noise=1.)` DPM-Solver++(2M)
    of the reverse SDE, `Multistep(p, corrector=True)` UniPC-p (Zhao et al., "UniPC", 2023), all
    with exact integrals of the polynomials.

    Attributes:
        order: number of values of the expected x; the order of convergence without noise.
        corrector: repeat each step with the value at its end, which the next step needs anyway; the
            order of convergence is one higher.
        noise: η: 0 is the probability-flow ODE, 1 the reverse SDE.
    """

    order: int = 3
    corrector: bool = False
    noise: float = 0.0

    def __post_init__(self):
        if self.order not in (1, 2, 3):
            raise UserError(f'Multistep.order is 1, 2 or 3, not {self.order}')
        check_number('Multistep.noise', self.noise)

    def __call__(self, denoise: Denoiser, path: Path, times: Array, x: Array, key: Array) -> Array:
        """Takes x from times[0] to times[-1]."""
        t, s = times[:-1], times[1:]
        kept = path.alpha(t) * path.sigma(s) / (path.alpha(s) * path.sigma(t))  # e^-h, h in log α/σ
        predict = self._weights(path, times, kept, ahead=False)
        correct = self._weights(path, times, kept, ahead=True)
        # The corrector of a step belongs to the beginning of the next one; the first has none.
        correct = jnp.concatenate([jnp.zeros_like(correct[:1]), correct[:-1]])
        scale = path.sigma(s) / path.sigma(t) * kept**self.noise
        fresh = path.sigma(s) * jnp.sqrt(1.0 - kept ** (2.0 * self.noise))
        first = jnp.arange(len(s)) == 0

        def step(carry: tuple[Array, Array, Array], inputs: tuple) -> tuple[tuple, None]:
            x, past, predicted = carry
            t, s, predict, correct, scale, fresh, first, key = inputs
            data = denoise(x, t).data
            past = jnp.concatenate([data[None], past[:-1]])
            if self.corrector:
                corrected = path.alpha(t) * jnp.tensordot(correct, past, 1, precision='highest')
                x = jnp.where(first, x, x + corrected - predicted)
            predicted = path.alpha(s) * jnp.tensordot(
                predict, past[: self.order], 1, precision='highest'
            )
            x = scale * x + predicted + fresh * jax.random.normal(key, x.shape)
            return (x, past, predicted), None

        keys = jax.random.split(key, len(s))
        inputs = (t, s, predict, correct, scale, fresh, first, keys)
        past = jnp.zeros((self.order + 1, *x.shape))
        return jax.lax.scan(step, (x, past, jnp.zeros_like(x)), inputs)[0][0]

    def _weights(self, path: Path, times: Array, kept: Array, *, ahead: bool) -> Array:
        """Weights of the values of the expected x in each step, the latest first: [N, order], or
        [N, order + 1] with the value `ahead`, at the end of the step.
        """
        half = 0.5 * path.log_snr(times)
        rate = -(1.0 + self.noise) * jnp.log(jnp.where(kept > 0, kept, 1.0))
        rows = []
        for order in range(1, self.order + 1):
            # Steps 0, 1, … have 1, 2, … values; the last of these rows is repeated for all others.
            start = jnp.arange(order - 1, len(kept))[: None if order == self.order else 1]
            if not len(start):
                break
            back = start[:, None] - jnp.arange(order)
            width = half[start + 1] - half[start]
            nodes = (half[back] - half[start][:, None]) / width[:, None]
            # Values infinitely far back, where there is no signal, and steps to σ = 0: order 1.
            finite = jnp.isfinite(nodes) & (kept[start] > 0)[:, None]
            nodes = jnp.where(finite, nodes, -_FARTHEST * jnp.arange(order))
            nodes = jnp.maximum(nodes, -_FARTHEST * jnp.arange(1, order + 1))
            if ahead:
                nodes = jnp.concatenate([jnp.ones((len(start), 1)), nodes], axis=1)
            weights = jax.vmap(_integrals)(nodes, rate[start])
            end = jnp.zeros_like(weights).at[:, 0].set(1.0)
            weights = jnp.where((kept[start] > 0)[:, None], weights, end)
            rows.append(jnp.pad(weights, ((0, 0), (0, self.order - order))))
        return jnp.concatenate(rows)


def _integrals(nodes: Array, rate: Array) -> Array:
    """∫ k e^-k(1 - u) ℓ_m(u) du over [0, 1], of the Lagrange polynomials of the nodes [m]."""
    u = 0.5 * (1.0 + _POINTS)
    kernel = 0.5 * _WEIGHTS * rate * jnp.exp(-rate * (1.0 - u))
    apart = nodes[:, None] - nodes + jnp.eye(len(nodes))
    factors = (u - nodes[:, None])[None] / apart[..., None]
    factors = jnp.where(jnp.eye(len(nodes), dtype=bool)[..., None], 1.0, factors)
    return jnp.prod(factors, axis=1) @ kernel
