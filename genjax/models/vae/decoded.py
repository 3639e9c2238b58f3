"""Sampling of decoders with a likelihood."""

from abc import ABC, abstractmethod

from jax import Array

from genjax.models import conditions
from genjax.models.base import Variables
from genjax.models.vae.likelihoods import Likelihood


class DecodedPrior(ABC):
    """Base class of unconditional models that draw x from `likelihood`, given codes of a prior."""

    likelihood: Likelihood

    @abstractmethod
    def _prior_decoded(self, variables: Variables, key: Array, num: int) -> tuple[Array, Array]:
        """Returns the parameters of p(x|z) for codes z drawn from the prior, and a key for x."""

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws x ~ p(x|z), z from the prior: [num, *event]. Raises a UserError when given a
        condition.
        """
        conditions.refuse(self, label, context)
        params, x_key = self._prior_decoded(variables, key, num)
        return self.likelihood.sample(params, x_key)

    def sample_mean(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the means of p(x|z) for the codes of `sample` with this key, [num, *event]."""
        conditions.refuse(self, label, context)
        return self.likelihood.mean(self._prior_decoded(variables, key, num)[0])
