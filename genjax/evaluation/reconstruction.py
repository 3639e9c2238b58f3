"""How much of an example its code keeps."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.evaluation.likelihood import Moments, masked_moments
from genjax.models.base import HasEncoder, Variables
from genjax.parallel.host import fetch


@dataclass(frozen=True)
class Reconstruction(Evaluator):
    """The error of pictures that have been encoded and decoded, in the range of the data.

    Gives 'mse', the mean squared error of values scaled to [0, 1]; 'psnr' in dB, the mean over the
    pictures of -10 log10(their mse); 'stderr' of the latter; and 'protocol'. Values out of range
    are cut off.

    Attributes:
        batch_size: pictures at a time.
    """

    batch_size: int = 250

    def __call__(
        self, model: HasEncoder, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Judges a model; raises a UserError when it has no `encode` and `decode`."""
        for method in ('encode', 'decode'):
            require(self, model, method)
        mse, psnr = Moments(), Moments()
        for batch in data.batches(self.batch_size):
            parts, key = _batch_moments(model, data.preprocess, variables, batch, key)
            for total, part in zip((mse, psnr), fetch(parts), strict=True):
                total.add(*map(float, part))
        if not mse.count:
            raise UserError(f'the {data.split} split has no examples to evaluate on')
        return {
            'mse': mse.mean,
            'psnr': psnr.mean,
            'stderr': psnr.standard_error,
            'protocol': f'{data.split} ({mse.count:.0f} examples)',
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _batch_moments(
    model: HasEncoder,
    preprocess: Chain,
    variables: Variables,
    batch: Mapping[str, Array],
    key: Array,
) -> tuple[tuple[tuple[Array, ...], ...], Array]:
    """Moments of the errors and of the PSNRs of one batch, and the next batch's key."""
    next_key, preprocess_key, encode_key, decode_key = jax.random.split(key, 4)
    x = batch['x'].astype(jnp.float32)
    y, _ = preprocess(batch['x'], preprocess_key)
    z = model.encode(variables, y, encode_key)
    found = preprocess.inverse(model.decode(variables, z, decode_key))
    error = (x - jnp.clip(found, 0, 255)) / 255
    mse = jnp.mean(error.reshape(len(x), -1) ** 2, axis=-1)
    # A picture that comes back exactly would have an infinite PSNR: 8 bits tell no more than this.
    psnr = -10 / math.log(10) * jnp.log(jnp.maximum(mse, 1e-10))
    return tuple(masked_moments(each, batch['mask']) for each in (mse, psnr)), next_key
