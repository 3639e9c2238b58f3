"""Codebook usage of models with discrete latents."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models.base import Variables
from genjax.networks.quantisers import code_counts, codebook_use
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class CodebookUse(Evaluator):
    """Codebook usage over a split, for models with `num_codes` whose `encode` returns tokens.

    Gives 'use', the fraction of codes that occur; 'perplexity', at most `num_codes`; and
    'protocol'.

    Attributes:
        batch_size: examples per batch.
    """

    batch_size: int = 500

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if its latents are not discrete."""
        require(self, model, 'encode')
        if not hasattr(model, 'num_codes'):
            raise UserError(
                f'CodebookUse cannot judge a {type(model).__name__}: its codes are not discrete'
            )
        parts = []
        for batch in data.batches(self.batch_size):
            part, key = _batch_counts(model, data.preprocess, variables, batch, key)
            parts.append(part)
        counts = np.sum(fetch(parts), axis=0)
        use, perplexity = map(float, codebook_use(counts))
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
    """Counts [num_codes] of the tokens of one batch, and the key for the next batch."""
    key, preprocess_key, encode_key = jax.random.split(key, 3)
    x, _ = preprocess(batch['x'], preprocess_key)
    index = model.encode(variables, x, encode_key)
    return code_counts(index, model.num_codes, batch['mask'][:, None]), key
