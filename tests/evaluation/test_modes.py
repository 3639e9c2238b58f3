"""Mode coverage on samples whose figures are known."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Chain, Digits, Gaussians
from genjax.errors import UserError
from genjax.evaluation import EvaluationData, Modes
from genjax.evaluation.modes import mode_counts, modes_covered, reverse_kl

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Exact:
    """Samples from the first `modes` components of a layout."""

    layout: str = 'ring'
    modes: int | None = None

    def sample(self, variables, key, num, *, label=None):
        """Draws [num, 2]."""
        del variables, label
        data = Gaussians(self.layout)
        which, noise = jax.random.split(key)
        index = jax.random.randint(which, (num,), 0, self.modes or len(data.centres))
        centres = jnp.asarray(data.centres, jnp.float32)[index]
        return centres + data.scale * jax.random.normal(noise, (num, 2))


def _data(dataset):
    return EvaluationData(dataset, 'test', lambda size: (), Chain(()))


@pytest.mark.parametrize(('layout', 'modes'), [('ring', 8), ('grid', 25)])
@pytest.mark.parametrize('num_sigma', [1.0, 3.0])
def test_exact_samples_cover_all_modes_with_the_share_of_the_chi_distribution(
    layout, modes, num_sigma
):
    evaluator = Modes(num_samples=20_500, num_sigma=num_sigma)
    figures = evaluator(Exact(layout), {}, _data(Gaussians(layout)), KEY)
    assert figures['modes'] == figures['num_modes'] == modes
    assert figures['high_quality'] == pytest.approx(1 - math.exp(-(num_sigma**2) / 2), abs=0.012)
    assert 0 <= figures['reverse_kl'] < 0.002
    assert figures['protocol'] == f'20500 samples, within {num_sigma:g} σ of a centre'


def test_lost_modes_are_seen():
    figures = Modes(2000)(Exact(modes=2), {}, _data(Gaussians()), KEY)
    assert figures['modes'] == 2
    assert figures['reverse_kl'] == pytest.approx(math.log(4), abs=0.01)


def test_a_partial_last_batch_is_cut():
    figures = Modes(1001, num_sigma=1e6, batch_size=1000)(Exact(), {}, _data(Gaussians()), KEY)
    assert figures['high_quality'] == 1.0


def test_counts_by_hand():
    centres = jnp.array([[0.0, 0.0], [10.0, 0.0]])
    samples = jnp.array([[0.5, 0.0], [4.0, 0.0], [10.0, 1.0], [jnp.nan, 0.0], [jnp.inf, 1.0]])
    counts, high_quality = mode_counts(samples, centres, 1.0)
    assert counts.tolist() == [2, 1]
    assert high_quality.tolist() == [1, 1]


def test_reverse_kl_by_hand():
    assert reverse_kl(np.array([5, 5])) == 0
    assert reverse_kl(np.array([1, 0, 0, 0])) == pytest.approx(math.log(4))
    assert reverse_kl(np.array([3, 1])) == pytest.approx(
        0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    )
    assert modes_covered(np.array([3, 0, 1])) == 2


def test_data_without_centres_are_refused():
    with pytest.raises(UserError, match=r'centres.*Digits'):
        Modes()(Exact(), {}, _data(Digits()), KEY)
