"""How much of a codebook a model with discrete codes uses."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Figures, require
from genjax.models.base import Variables


def use_and_perplexity(counts: np.ndarray) -> tuple[float, float]:
    """Of counts [K]: the share of codes that occur at all, and exp of the entropy of their
    distribution.
    """
    shares = counts[counts > 0] / max(np.sum(counts), 1)
    return float(np.mean(counts > 0)), float(np.exp(-np.sum(shares * np.log(shares))))


@dataclass(frozen=True)
class CodebookUse:
    """Which codes the examples of a split get, for models with `num_codes` whose `encode` gives
    tokens.

    Gives 'use', the share of the codes that occur; 'perplexity', of at most `num_codes`; and
    'protocol'.

    Attributes:
        batch_size: examples at a time.
    """

    batch_size: int = 500

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Figures:
        """Judges a model; raises a UserError when its codes are not discrete."""
        require(self, model, 'encode')
        if not hasattr(model, 'num_codes'):
            raise UserError(
                f'CodebookUse cannot judge a {type(model).__name__}: its codes are not discrete'
            )
        parts = []
        for batch in data.batches(self.batch_size):
            part, key = _batch_counts(model, data.preprocess, variables, batch, key)
            parts.append(part)
        counts = np.sum(jax.device_get(parts), axis=0)
        use, perplexity = use_and_perplexity(counts)
        tokens = f'{np.sum(counts):.0f} tokens'
        return {
            'use': use,
            'perplexity': perplexity,
            'protocol': f'{tokens} of {data.split}, {model.num_codes} codes',
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_counts(
    model: Any, preprocess: Chain, variables: Variables, batch: Mapping[str, Array], key: Array
) -> tuple[Array, Array]:
    """Counts [num_codes] of the tokens of one batch, and the next batch's key."""
    key, preprocess_key, encode_key = jax.random.split(key, 3)
    x, _ = preprocess(batch['x'], preprocess_key)
    index = model.encode(variables, x, encode_key)
    weight = jnp.broadcast_to(batch['mask'][:, None], index.shape).astype(jnp.float32)
    counts = jnp.zeros(model.num_codes).at[index.reshape(-1)].add(weight.reshape(-1))
    return counts, key
