"""Metrics of disentanglement, on codes that are known."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Avatars, Chain, Digits, Jars
from genjax.errors import UserError
from genjax.evaluation import (
    Disentanglement,
    EvaluationData,
    dci,
    factor_vae_score,
    mig,
    sap,
)
from genjax.models import VAE
from genjax.networks import MLP
from genjax.protocols import fields_of

FACTORS = np.random.default_rng(0).integers(0, 8, (3000, 3))
PERFECT = FACTORS[:, [2, 0, 1]] * [0.5, -2.0, 1.0]


def rotated():
    """Two of the codes turned by 45°."""
    codes = PERFECT / PERFECT.std(axis=0)
    return np.stack([codes[:, 0] + codes[:, 1], codes[:, 0] - codes[:, 1], codes[:, 2]], axis=1)


def test_perfect_codes():
    assert mig(PERFECT, FACTORS) > 0.99
    assert sap(PERFECT, FACTORS) > 0.99
    assert dci(PERFECT, FACTORS) == (1, 1, 1)


def test_rotated_codes():
    """One factor of three keeps its code."""
    assert 0.3 < mig(rotated(), FACTORS) < 0.37
    assert 0.3 < sap(rotated(), FACTORS) < 0.4
    found = dci(rotated(), FACTORS)
    assert found.disentanglement < 0.65 and found.completeness < 0.65
    assert found.informativeness > 0.99


def test_noise():
    codes = np.random.default_rng(1).standard_normal((3000, 3))
    assert mig(codes, FACTORS) < 0.01 and sap(codes, FACTORS) < 0.01
    found = dci(codes, FACTORS)
    assert found.disentanglement < 0.01 and found.informativeness < 0.2


def test_information_is_that_of_scikit_learn():
    from sklearn.metrics import mutual_info_score

    from genjax.evaluation.disentanglement import _binned, _mutual_information

    code = np.random.default_rng(2).standard_normal(500)
    binned = _binned(code, 20)
    assert binned.min() == 0 and binned.max() == 19
    np.testing.assert_allclose(
        _mutual_information(binned, FACTORS[:500, 0]),
        mutual_info_score(binned, FACTORS[:500, 0]),
    )


def draw(generator, factor, num):
    x = generator.integers(0, 8, (num, 3))
    if factor >= 0:
        x[:, factor] = x[0, factor]
    return x


def test_the_factor_vae_score():
    assert factor_vae_score(lambda x: x[:, [2, 0, 1]] * [0.5, -2, 1], draw, 3) == 1
    # A dead code varies least in every group, and is not counted.
    assert factor_vae_score(lambda x: np.column_stack([x, 1e-3 * x[:, 0]]), draw, 3) == 1
    noise = np.random.default_rng(0)
    score = factor_vae_score(lambda x: noise.standard_normal((len(x), 3)), draw, 3)
    assert score < 0.45


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(UserError, match=r'shapes \(3, 2\) and \(4, 2\)'):
        mig(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(UserError, match='factor 1 has one value'):
        mig(PERFECT[:5], np.array([[0, 1], [1, 1], [2, 1], [0, 1], [1, 1]]))


@dataclass(frozen=True)
class Dials:
    """Data that are their own factors, two of them."""

    whole: bool

    def factors(self, split):
        random = np.random.default_rng(0)
        if self.whole:
            return random.integers(0, 8, (1500, 2))
        return random.uniform(size=(1500, 2)).astype(np.float32)

    def draw_fixed(self, random, factor, num):
        x = random.integers(0, 8, (num, 2)) if self.whole else random.uniform(size=(num, 2))
        if factor >= 0:
            x[:, factor] = x[0, factor]
        return x.astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """Codes that are a linear map of the data, or noise."""

    rows: tuple[tuple[float, float], ...]
    noise: float = 0.0

    def encode(self, variables, x, key):
        noise = self.noise * jax.random.normal(key, (len(x), len(self.rows)))
        return x @ jnp.asarray(self.rows).T + noise


def evaluated(model, dataset, variables=None):
    """Results on three batches of data, the last one with padding."""
    x = np.asarray(dataset.factors('test'), np.float32)

    def batches(size):
        for start in range(0, len(x), size):
            rows = np.arange(start, start + size)
            yield {'x': jnp.asarray(x[rows % len(x)]), 'mask': jnp.asarray(rows < len(x))}

    data = EvaluationData(dataset, 'test', batches, Chain())
    evaluator = Disentanglement(batch_size=700, rounds=200)
    return evaluator(model, variables, data, jax.random.key(0))


@pytest.mark.parametrize('whole', [True, False])
def test_the_evaluator_finds_permuted_turned_and_absent_factors(whole):
    dials = Dials(whole)
    permuted = evaluated(Linear(((0, -3.0), (0.5, 0))), dials)
    for name in ('mig', 'sap', 'disentanglement', 'completeness', 'factor_vae'):
        assert permuted[name] > 0.94, name
    turned = evaluated(Linear(((1, 1), (1, -1))), dials)
    for name in ('mig', 'sap', 'disentanglement', 'completeness'):
        assert turned[name] < 0.06, name
    assert turned['informativeness'] > 0.8  # the cuts of trees follow the axes
    # Noise is informative by the bias of bins only, and its votes are a coin's.
    noise = evaluated(Linear(((0, 0), (0, 0)), noise=1.0), dials)
    for name in ('mig', 'sap', 'disentanglement', 'completeness'):
        assert noise[name] < 0.03, name
    assert noise['factor_vae'] < 0.7
    assert fields_of(noise['protocol'])['examples'] == '1500'


def test_codes_of_a_vae_are_the_means_of_its_posterior():
    model = VAE(encoder=MLP(()), decoder=MLP((), shape=(2,)), latent_dim=3)
    dials = Dials(True)
    x = np.asarray(dials.factors('test'), np.float32)
    variables = model.init(jax.random.key(0), {'x': jnp.asarray(x)})
    means = np.asarray(model.features(variables, x))
    assert evaluated(model, dials, variables)['mig'] == pytest.approx(
        mig(means, dials.factors('test')), abs=1e-3
    )
    draws = np.asarray(model.encode(variables, x, jax.random.key(1)))
    assert abs(mig(draws, dials.factors('test')) - mig(means, dials.factors('test'))) > 0.01


def sides(jars):
    """The darkness of the middle column and of a low row, [N, 2]."""
    dark = np.stack([230 - jars[:, :, 16, 0], 230 - jars[:, 27, :, 0]], axis=1)
    return dark.clip(max=110).sum(axis=2)


def corner(portraits):
    """Colour of the backdrop, [N, 1]."""
    return portraits[:, 0, 0] @ np.array([[1], [256], [65536]])


@pytest.mark.parametrize(
    ('world', 'read', 'factors'),
    [
        (Jars(), sides, (0, 1)),
        (Avatars(), lambda people: people, (0, 1, 2, 3, 4)),
        (Avatars(form='pictures'), corner, (1,)),
    ],
)
def test_worlds_draw_with_a_fixed_factor(world, read, factors):
    random = np.random.default_rng(0)
    assert world.draw_fixed(random, -1, 200).shape == (200, *world.event_shape)
    for fixed in range(len(world.factor_names)):
        found = read(world.draw_fixed(random, fixed, 200))
        varies = [len(np.unique(each)) > 1 for each in found.T]
        assert varies == [factor != fixed for factor in factors]


def test_what_has_no_factors_or_codes_is_refused():
    with pytest.raises(UserError, match=r'known factors.*Digits'):
        Disentanglement()(
            Linear(((1, 0), (0, 1))), {}, EvaluationData(Digits(), 'test', iter, Chain()), None
        )
    with pytest.raises(UserError, match='rounds must be at least 2, not 1'):
        Disentanglement(rounds=1)
    with pytest.raises(UserError, match=r'no encode\(\)'):
        evaluated(object(), Dials(True))

    class Tokens(Linear):
        def encode(self, variables, x, key):
            return x.astype(jnp.int32)

    with pytest.raises(UserError, match='codes of a Tokens are tokens'):
        evaluated(Tokens(()), Dials(True))
