"""The base classes of metrics, and the metrics that the documentation adds."""

import re
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from genjax.data import Chain, Scale
from genjax.errors import UserError
from genjax.evaluation import PerExample, evaluate
from genjax.models.base import Phase
from genjax.parallel.sharding import MeshShape
from tests.training.tiny import Blots

PAGE = Path(__file__).parents[2] / 'docs' / 'evaluation.md'
CHAIN = Chain((Scale(low=0.0, high=1.0),))


@dataclass(frozen=True)
class Halves:
    """Codes are half of the data and stay so when they are decoded; samples are black."""

    phases = (Phase('fit', (), None),)

    def encode(self, variables, x, key):
        return x / 2

    def decode(self, variables, z, key):
        return z

    def sample(self, variables, key, num, *, label=None):
        return jax.numpy.zeros((num, 8, 8, 1))


@dataclass(frozen=True)
class Labels(PerExample):
    """Two values, of which the first is last in the alphabet."""

    def values(self, model, variables, data, batch, key):
        return {'z': batch['label'].astype(float), 'a': batch['label'] * 0.0}


def run(evaluator, model=Halves(), size=40):
    mesh = MeshShape().make(jax.devices()[:1])
    variables = {'params': {}, 'state': {}}
    return evaluate({'own': evaluator}, model, variables, Blots(size), CHAIN, mesh=mesh)


@pytest.fixture(scope='module')
def documented():
    """The metrics of the documentation, none longer than 15 lines below its imports."""
    found = {}
    for block in re.findall(r'```python\n(.*?)```', PAGE.read_text('utf-8'), re.DOTALL):
        if '@dataclass' not in block:
            continue
        assert len(block[block.index('@dataclass') :].splitlines()) <= 15
        exec(compile(block, PAGE.name, 'exec'), found)
    return found


def test_a_metric_of_each_example(documented):
    results = run(documented['RoundTrip'](split='validation', batch_size=16))
    x = Blots(40).source('validation')[np.arange(40)]['x'] / 255
    errors = ((x / 2) ** 2).reshape(40, -1).mean(axis=1)
    assert results['own/error'] == pytest.approx(errors.mean(), rel=1e-5)
    assert results['own/stderr'] == pytest.approx(errors.std(ddof=1) / np.sqrt(40), rel=1e-4)
    assert results['own/protocol'] == 'validation (40 examples)'
    with pytest.raises(UserError, match=r'the model has no encode\(\)'):
        run(documented['RoundTrip'](), model=Blots())


def test_a_metric_of_samples(documented):
    results = run(documented['Brightness'](num_samples=10))
    assert results['own/protocol'] == '10 of test and 10 samples, as stored'
    assert -255 < results['own/difference'] < 0


def test_the_first_value_is_the_first_result():
    assert list(run(Labels())) == ['own/z', 'own/a', 'own/stderr', 'own/protocol']
