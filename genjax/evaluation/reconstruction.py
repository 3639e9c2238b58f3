"""Reconstruction error of encoded and decoded images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from genjax.evaluation.base import EvaluationData, Results
from genjax.evaluation.bases import PerExample
from genjax.evaluation.conditions import scored_conditions
from genjax.models.base import HasEncoder, Variables


@dataclass(frozen=True)
class Reconstruction(PerExample):
    """Error of reconstructed images, in the range of the data.

    Gives 'mse', the mean squared error of values scaled to [0, 1]; 'psnr' in dB, the mean over the
    images of -10 log10(their mse); 'stderr' of the latter; and 'protocol'. Values are
    clipped to the range.

    Attributes:
        batch_size: images per batch.
    """

    batch_size: int = 250

    NEEDS: ClassVar[tuple[str, ...]] = ('encode', 'decode')

    def __call__(
        self, model: HasEncoder, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model; raises UserError if it has no `encode` and `decode`."""
        moments = self.moments(model, variables, data, key)
        mse, psnr = moments['mse'], moments['psnr']
        return {
            'mse': mse.mean,
            'psnr': psnr.mean,
            'stderr': psnr.standard_error,
            'protocol': f'{data.split} ({mse.count:.0f} examples)',
        }

    def values(
        self,
        model: HasEncoder,
        variables: Variables,
        data: EvaluationData,
        batch: Mapping[str, Array],
        key: Array,
    ) -> dict[str, Array]:
        """Mean squared errors and PSNRs."""
        preprocess_key, encode_key, decode_key = jax.random.split(key, 3)
        x = batch['x'].astype(jnp.float32)
        y, _ = data.preprocess(batch['x'], preprocess_key)
        z = model.encode(variables, y, encode_key, **scored_conditions(model, batch))
        found = data.preprocess.inverse(model.decode(variables, z, decode_key))
        error = (x - jnp.clip(found, 0, 255)) / 255
        mse = jnp.mean(error.reshape(len(x), -1) ** 2, axis=-1)
        # Avoid an infinite PSNR for exact images: 8 bits resolve no more than this.
        psnr = -10 / math.log(10) * jnp.log(jnp.maximum(mse, 1e-10))
        return {'mse': mse, 'psnr': psnr}
