"""Our samplers and Hugging Face's, step by step with the same network and noise."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models.diffusion import (
    DDIM,
    DPM2M,
    Ancestral,
    DiscreteVP,
    Epsilon,
    Euler,
    Heun,
    Karras,
    samplers,
)
from genjax.networks import from_diffusers
from tests.networks.test_convert import ADDITIVE, diffusers_state

pytestmark = pytest.mark.slow

FIXTURE = dict(np.load(Path(__file__).parents[2] / 'fixtures' / 'diffusers.npz'))
KEY = jax.random.key(0)
VP = DiscreteVP()
"""Time (i + 1) / 1000 is their integer time i, and 0 the data."""
SIGMA = Karras(sigma_max=1000.0)
"""Theirs of Euler and Heun: time is σ / 1000, and α = 1."""


@pytest.fixture(scope='module')
def denoise():
    """Their denoiser along our path; the network is told their integer time."""
    params = from_diffusers(diffusers_state(FIXTURE, 'additive'), ADDITIVE)
    network = ADDITIVE.clone(time_scale=1.0)

    def denoise(x, t):
        time = jnp.round(1000 * jnp.full(len(x), t) - 1)
        output = network.apply({'params': params}, x, time)
        return Epsilon().prediction(VP, x, jnp.full((len(x), 1, 1, 1), t), output)

    return jax.jit(denoise)


def steps(name, sampler, path, denoise, times, monkeypatch):
    """Each of their states, and what our step makes of the one before it."""
    states = FIXTURE[f'{name}/path']
    noise = FIXTURE.get(f'{name}/noise')
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        if noise is not None:
            monkeypatch.setattr(samplers.jax.random, 'normal', lambda *_, z=noise[i]: z)
        got = sampler.step(denoise, path, states[i], jnp.float32(t), jnp.float32(s), KEY)
        yield got, states[i + 1]


def assert_close(got, want):
    """To 1e-5 of the largest value: a random network ends at hundreds, its roundings with it."""
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.max(np.abs(want)))


def vp_times(name):
    return np.append((FIXTURE[f'{name}/timesteps'] + 1) / 1000, 0.0)


def test_the_chain_is_theirs():
    t = jnp.arange(1, 1001) / 1000
    np.testing.assert_allclose(VP.alpha(t) ** 2, FIXTURE['alphas_cumprod'], rtol=1e-4)


@pytest.mark.parametrize(
    'name, sampler', [('ddpm', Ancestral()), ('ddim', DDIM()), ('ddim_eta_1', DDIM(eta=1.0))]
)
def test_steps_of_ddpm_and_ddim(name, sampler, denoise, monkeypatch):
    for got, want in steps(name, sampler, VP, denoise, vp_times(name), monkeypatch):
        assert_close(got, want)


def test_steps_of_euler(denoise):
    moved = samplers.along(denoise, VP, SIGMA)
    states, times = FIXTURE['euler/path'], jnp.asarray(FIXTURE['euler/sigmas'] / 1000)
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        got = Euler().step(moved, SIGMA, states[i], t, s, KEY)
        assert_close(got, states[i + 1])


@pytest.mark.full
def test_steps_of_heun(denoise):
    """Theirs gives every inner step's end twice, and the state after each of its two calls."""
    moved = samplers.along(denoise, VP, SIGMA)
    states, sigmas = FIXTURE['heun/path'], FIXTURE['heun/sigmas']
    times = jnp.asarray(np.append(sigmas[::2], 0.0) / 1000)
    starts = [*states[::2], states[-1]]
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        got = Heun().step(moved, SIGMA, starts[i], t, s, KEY)
        assert_close(got, starts[i + 1])


@pytest.mark.full
def test_dpm_solver(denoise):
    times = jnp.asarray(vp_times('dpm'))
    got = DPM2M()(denoise, VP, times, FIXTURE['start'], KEY)
    assert_close(got, FIXTURE['dpm/path'][-1])
