"""Samples of the posterior p(θ | x) by a model of observations given parameters, p(x | θ)."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.hmc import Density, hmc_step
from genjax.keys import key_of
from genjax.models.base import Variables
from genjax.models.precision import full_precision
from genjax.sampling.draw import IDENTITY, contexts_of

_ACCEPTANCE = 0.65  # that the step size is tuned for
_SMALLEST = 0.03  # share of the largest step size
_KEPT = 0.8  # share of the effective number of particles that a temperature leaves
_MOST_TEMPERATURES = 200
_HALVINGS = 40  # of the interval that the next temperature is in


class Prior(Protocol):
    """A distribution of parameters, such as a `Simulator`."""

    def prior_sample(self, key: Array, num: int) -> Array:
        """Draws parameters [num, P]."""

    def prior_log_prob(self, theta: Array) -> Array:
        """Computes log p(θ) [B] of parameters [B, P]; -inf outside the support."""


def likelihood_posterior(
    model: Any,
    variables: Variables,
    observation: np.ndarray,
    prior: Prior,
    num: int,
    *,
    seed: int = 0,
    preprocess: Chain = IDENTITY,
    num_particles: int = 1000,
    num_moves: int = 8,
    num_leapfrog: int = 8,
) -> np.ndarray:
    """Draws parameters given one observation from p(θ) p(x | θ), with a model of p(x | context=θ)
    (neural likelihood estimation), by a sequential Monte Carlo sampler.

    Particles from the prior pass through the densities p(θ) p(x | θ)^β: each temperature is the
    largest that leaves 80 % of the effective number of particles, which are then resampled and
    moved by Hamiltonian Monte Carlo (Del Moral, Doucet & Jasra, "Sequential Monte Carlo samplers",
    2006). So it finds modes that are apart, and what moves out of the support of the prior is
    rejected.

    Args:
        model: such as `run.model`; one whose likelihood is random has the same noise throughout.
        variables: such as `run.variables`.
        observation: one x, [*event], in the range of the data.
        prior: such as `run.experiment.dataset.task`.
        num: number of samples.
        seed: random seed.
        preprocess: that of the run, `run.experiment.preprocess`.
        num_particles: number of particles, if it is more than `num`; samples are a random choice of
            them, and exact as the numbers of particles and moves grow. A mode that is narrow beside
            the prior descends from few of them, so that its weight is noisy.
        num_moves: Hamiltonian transitions per temperature.
        num_leapfrog: leapfrog steps per transition.

    Returns:
        Samples [num, P].

    Raises:
        UserError: `num` is below 1; the model has no `log_prob`, or takes no context or one of
            another shape; or it gives hardly any parameters of the prior a likelihood.
    """
    if num < 1:
        raise UserError(f'num={num} must be at least 1')
    if not callable(getattr(model, 'log_prob', None)):
        raise UserError(f'a {type(model).__name__} has no log_prob()')
    key = key_of(seed, 'samples')
    with jax.transfer_guard('allow'):
        contexts_of(model, 1, np.asarray(prior.prior_sample(key, 1)[0]))
        x = np.asarray(observation, np.float32)
        found = _annealed(model, preprocess, prior, num, num_moves, num_leapfrog, variables, x, key)
        theta, beta = np.asarray(found.theta), float(found.beta)
    if not beta == 1 or not np.all(np.isfinite(theta)):
        raise UserError(
            'hardly any parameters of the prior have a likelihood by the model, given this'
            f' observation: the sampler came to a temperature of {beta:.3g} of 1'
        )
    return np.random.default_rng(seed).permutation(theta)[:num]


class _State(NamedTuple):
    """The sampler between two temperatures.

    Attributes:
        number: of temperatures so far.
        beta: the inverse temperature.
        theta: particles [N, P].
        log_likelihood: [N].
        step_size: of the moves, in units of the particles' standard deviations.
    """

    number: Array
    beta: Array
    theta: Array
    log_likelihood: Array
    step_size: Array


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
@full_precision
def _annealed(
    model: Any,
    preprocess: Chain,
    prior: Prior,
    num: int,
    num_moves: int,
    num_leapfrog: int,
    variables: Variables,
    x: Array,
    key: Array,
) -> _State:
    start_key, noise_key, key = jax.random.split(key, 3)
    x = preprocess(x[None], noise_key)[0]

    def log_likelihood(theta: Array) -> Array:
        rows = jnp.broadcast_to(x, (len(theta), *x.shape[1:]))
        value = model.log_prob(variables, rows, noise_key, context=theta).value
        return jnp.where(jnp.isnan(value), -jnp.inf, value)

    def colder(state: _State) -> _State:
        resample_key, move_key = jax.random.split(jax.random.fold_in(key, state.number))
        beta = _next_temperature(state.log_likelihood, state.beta)
        log_weights = _powered(state.log_likelihood, beta - state.beta)
        theta = state.theta[_systematic(resample_key, jax.nn.softmax(log_weights))]

        def density(theta: Array) -> Array:
            return prior.prior_log_prob(theta) + beta * log_likelihood(theta)

        theta, size = _moved(move_key, density, theta, state.step_size, num_moves, num_leapfrog)
        return _State(state.number + 1, beta, theta, log_likelihood(theta), size)

    def unfinished(state: _State) -> Array:
        alive = jnp.any(jnp.isfinite(state.log_likelihood))
        return (state.beta < 1) & alive & (state.number < _MOST_TEMPERATURES)

    theta = prior.prior_sample(start_key, num)
    start = _State(jnp.int32(0), jnp.float32(0), theta, log_likelihood(theta), jnp.float32(0.3))
    return jax.lax.while_loop(unfinished, colder, start)


def _moved(
    key: Array, density: Density, theta: Array, size: Array, num_moves: int, num_leapfrog: int
) -> tuple[Array, Array]:
    """Moves particles, in units of their standard deviations. Each has its own step size, as modes
    may be of different widths: a random share of the largest, which follows the rate of acceptance.
    """
    scale = jnp.maximum(jnp.std(theta, axis=0), 1e-30)

    def move(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        z, size = carry
        share_key, key = jax.random.split(key)
        share = _SMALLEST ** jax.random.uniform(share_key, (len(z),))
        z, accepted = hmc_step(key, lambda z: density(z * scale), z, share * size, num_leapfrog)
        return (z, size * jnp.exp(jnp.mean(accepted) - _ACCEPTANCE)), None

    (z, size), _ = jax.lax.scan(move, (theta / scale, size), jax.random.split(key, num_moves))
    return z * scale, size


def _next_temperature(log_likelihood: Array, beta: Array) -> Array:
    """The largest temperature, at most 1, that leaves the share `_KEPT` of the effective number of
    those particles that have a likelihood.
    """
    least = jnp.sum(jnp.isfinite(log_likelihood)) * _KEPT

    def enough(new: Array) -> Array:
        weights = jax.nn.softmax(_powered(log_likelihood, new - beta))
        return 1 / jnp.sum(weights**2) >= least

    def halve(_: int, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        middle = (low + high) / 2
        fits = enough(middle)
        return jnp.where(fits, middle, low), jnp.where(fits, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (beta, jnp.float32(1)))
    return jnp.where(enough(jnp.float32(1)), 1.0, jnp.where(low > beta, low, high))


def _powered(log_likelihood: Array, power: Array) -> Array:
    """Log-weights; those without a likelihood have none at power 0 either."""
    return jnp.where(jnp.isfinite(log_likelihood), power * log_likelihood, -jnp.inf)


def _systematic(key: Array, weights: Array) -> Array:
    """Draws as many indices as there are weights, by systematic resampling."""
    num = len(weights)
    places = (jnp.arange(num) + jax.random.uniform(key)) / num
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(weights), places), num - 1)
