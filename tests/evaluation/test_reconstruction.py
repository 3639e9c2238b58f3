"""The error of reconstructions, of a coder that does a known harm."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from genjax.data import Chain, Digits, Scale, eval_batches
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, Reconstruction

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Darkening:
    """Decodes pictures in [-1, 1] darker by so much."""

    amount: float

    def encode(self, variables, x, key):
        return x

    def decode(self, variables, z, key):
        return z - self.amount


def _figures(model):
    def batches(size):
        for batch in eval_batches(Digits().source('test'), batch_size=size):
            yield jax.device_put(batch)

    data = EvaluationData(Digits(), 'test', batches, Chain((Scale(-1.0, 1.0),)))
    return Reconstruction(100)(model, {}, data, KEY)


def test_against_numpy():
    source = Digits().source('test')
    x = source[np.arange(len(source))]['x'] / 255.0
    mse = ((x - np.maximum(x - 0.15, 0)) ** 2).reshape(len(x), -1).mean(1)
    psnr = -10 * np.log10(mse)
    found = _figures(Darkening(0.3))
    assert found['mse'] == pytest.approx(mse.mean(), rel=1e-4)
    assert found['psnr'] == pytest.approx(psnr.mean(), rel=1e-4)
    assert found['stderr'] == pytest.approx(psnr.std(ddof=1) / np.sqrt(len(x)), rel=1e-3)
    assert found['protocol'] == f'test ({len(x)} examples)'


def test_exact_pictures_have_a_finite_figure():
    assert _figures(Darkening(0.0))['psnr'] == pytest.approx(100, rel=1e-3)


def test_a_model_without_codes_is_refused():
    with pytest.raises(UserError, match='Reconstruction cannot judge a object'):
        _figures(object())
