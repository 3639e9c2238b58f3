"""Path lengths of models whose paths are known."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.evaluation import PerceptualPathLength
from genjax.evaluation.path_length import slerp, trimmed_mean
from genjax.models import GAN
from genjax.networks import MLP

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Scaled:
    """Latents are codes (or their signs) times `gain`, pictures are latents times 3."""

    gain: float = 2.0
    bent: bool = False
    latent_dim: int = 64
    num_classes: int | None = None

    def to_latent(self, variables, z):
        """A linear map, or one that turns by its length."""
        if not self.bent:
            return self.gain * z
        angle = 20.0 * z[:, :1]
        first = jnp.cos(angle) * z[:, 1:2] - jnp.sin(angle) * z[:, 2:3]
        return jnp.concatenate([first, z[:, 1:]], axis=-1)

    def synthesise(self, variables, w):
        """A linear map."""
        return 3.0 * w


def test_lengths_of_linear_models_are_those_of_their_paths():
    """Between normal codes a line has the mean squared length 2 D, and a great circle of radius
    sqrt(D) that of its mean squared angle times D.
    """
    figures = PerceptualPathLength(20_000, batch_size=2000)(Scaled(), {}, None, KEY)
    dim = 64
    np.testing.assert_allclose(figures['w'], 36 * 2 * dim, rtol=0.02)
    cosine = np.random.default_rng(0).standard_normal((2, 100_000, dim))
    cosine /= np.linalg.norm(cosine, axis=-1, keepdims=True)
    angle = np.arccos(np.sum(cosine[0] * cosine[1], axis=-1))
    np.testing.assert_allclose(figures['z'], 36 * dim * np.mean(angle**2), rtol=0.02)
    doubled = PerceptualPathLength(2000, features=lambda x: 2 * x)(Scaled(), {}, None, KEY)
    plain = PerceptualPathLength(2000)(Scaled(), {}, None, KEY)
    np.testing.assert_allclose(doubled['w'], 4 * plain['w'], rtol=1e-5)


def test_a_bent_mapping_is_longer_in_codes_than_in_latents():
    figures = PerceptualPathLength(2000)(Scaled(bent=True), {}, None, KEY)
    assert figures['z'] > 2 * figures['w']


def test_great_circles():
    a, b = np.random.default_rng(0).standard_normal((2, 5, 9)).astype(np.float32)
    ends = [np.asarray(slerp(a, b, jnp.full((5, 1), t))) for t in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(np.linalg.norm(ends, axis=-1), 3.0, rtol=1e-5)
    for got, want in ((ends[0], a), (ends[2], b)):
        np.testing.assert_allclose(
            got, 3 * want / np.linalg.norm(want, axis=-1, keepdims=True), atol=1e-5
        )
    middle = ends[0] + ends[2]
    middle *= 3 / np.linalg.norm(middle, axis=-1, keepdims=True)
    np.testing.assert_allclose(ends[1], middle, atol=1e-5)


def test_the_mean_leaves_out_a_hundredth_at_each_end():
    steps = np.arange(1000.0)
    steps[-1] = 1e9
    assert trimmed_mean(steps) == np.mean(np.arange(9, 991))
    assert math.isclose(trimmed_mean(np.ones(5)), 1.0)


def test_models_without_latents_are_refused():
    model = GAN(MLP((4,), shape=(2,)), MLP((4,), shape=()), 2)
    with pytest.raises(UserError, match=r'cannot judge a GAN: the model has no to_latent'):
        PerceptualPathLength()(model, {}, None, KEY)
