"""Discrete diffusion of tokens and bits."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from genjax.models.base import Variables
from genjax.models.diffusion.discrete_base import DiscreteBound, first_elements
from genjax.models.diffusion.discrete_paths import DiscretePath, Masking, log_one_hot
from genjax.models.diffusion.sampling import DiscreteSampling
from genjax.models.diffusion.time_schedules import Grid, PowerSchedule
from genjax.models.sampling_options import gathered


@dataclass(frozen=True)
class DiscreteDiffusion(DiscreteBound):
    """Diffusion of tokens or bits: the binomial chain (Sohl-Dickstein et al., 2015) and D3PM
    (Austin et al., 2021). See `DiscreteModel` for the network.

    The loss is the negative evidence lower bound of a chain of T steps, in nats per example:
    T E KL(q(x_s | x_t, x) | p(x_s | x_t)) at a random step from t to s, with p(x_s | x_t) =
    Σ_x q(x_s | x_t, x) p(x | x_t). At s = 0 this is -log p(x | x_t); the prior term at x_1 is 0.
    The parameter group is 'network'. Metric: 'nats_per_token' (for bits, per bit).

    Attributes:
        network: such as `Transformer` with causal=False for tokens, `TimeMLP` for bits.
        path: path from data to noise.
        chain: T, the number of steps in the loss and the bound.
        grid: time discretisation of the chain and the sampler.
        sampling: sampling options; with `steps` equal to `chain`, the bound is that of the
            distribution of the samples.
        eval_samples: steps of the chain per example in `log_prob`, evenly spaced.
    """

    network: nn.Module
    path: DiscretePath = field(default_factory=Masking)
    chain: int = 1000
    grid: Grid = field(default_factory=PowerSchedule)
    sampling: DiscreteSampling = field(default_factory=DiscreteSampling)
    eval_samples: int = 64

    FREE: ClassVar[tuple[str, ...]] = ('sampling', 'eval_samples')

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        return gathered(fields, DiscreteSampling, {'sampler': 'sampler', 'steps': 'steps'})

    @property
    def log_prob_method(self) -> str:
        """Name of the `log_prob` estimator, recorded with evaluations."""
        return f'VLB of a chain of {self.chain} steps, {self.eval_samples} of them drawn'

    def _bound(
        self,
        variables: Variables,
        x: Array,
        share: Array,
        noise_key: Array,
        network_key: Array | None,
        condition: Array | None = None,
        given: int = 0,
    ) -> tuple[Array, Variables]:
        times = self.grid(self.path, self.chain)
        number = jnp.minimum(jnp.floor(share * self.chain), self.chain - 1).astype(jnp.int32)
        number = number.reshape(-1, *(1,) * (x.ndim - 1))
        t, s = times[number], times[number + 1]
        clean = first_elements(x.shape[1:], given)
        noisy = jnp.where(clean, x, self.path.corrupt(noise_key, x, t, self.num_values))
        log_probs, state = self.log_probs(variables, noisy, t, network_key, condition)
        posterior = self.path.log_posterior(noisy, log_one_hot(x, self.num_values), t, s)
        model = self.path.log_posterior(noisy, log_probs, t, s)
        gap = jnp.where((posterior > -jnp.inf) & ~clean[..., None], posterior - model, 0.0)
        return self.chain * jnp.sum(jnp.exp(posterior) * gap, axis=-1), state
