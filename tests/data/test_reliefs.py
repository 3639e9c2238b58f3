"""Reliefs and their shading, against closed forms."""

import numpy as np
import pytest

from genjax.data import Reliefs
from genjax.data.toy import reliefs as world
from genjax.errors import UserError

SMALL = Reliefs(train_size=10)


def test_slopes_are_the_derivatives_of_heights():
    fine = Reliefs(train_size=2, side=400)
    coefficients = np.random.default_rng(0).standard_normal((2, 28))
    height, spacing = fine.heights(coefficients), 16 / 400
    for axis, slope in enumerate(fine.slopes(coefficients), start=1):
        # The relief repeats, and so do its differences.
        ahead, behind = np.roll(height, -1, axis), np.roll(height, 1, axis)
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * spacing), atol=2e-3)
    coarse = SMALL.heights(coefficients)
    np.testing.assert_allclose(coarse, height[:, ::25, ::25], atol=1e-9)


def test_normals_and_brightness_of_a_plane_and_a_sphere():
    light = np.array([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]])
    plane = world.normals_of(np.array(3 / 4), np.array(0.0))
    np.testing.assert_allclose(plane, [-0.6, 0, 0.8])
    np.testing.assert_allclose(world.shade(plane, light), [0.64 - 0.36, 0], atol=1e-12)
    x, y = np.meshgrid(np.linspace(-0.6, 0.6, 5), np.linspace(-0.6, 0.6, 5))
    z = np.sqrt(1 - x**2 - y**2)
    sphere = np.stack([x, y, z], axis=-1)  # a point of the sphere is its normal
    np.testing.assert_allclose(world.normals_of(-x / z, -y / z), sphere, atol=1e-12)
    bright = world.shade(world.normals_of(-x / z, -y / z), light)
    np.testing.assert_allclose(bright[..., 0], np.maximum(0.6 * x + 0.8 * z, 0), atol=1e-12)
    np.testing.assert_allclose(bright[..., 1], np.maximum(-y, 0), atol=1e-12)


def test_heights_are_the_gaussian_process_of_the_page():
    """exp(-r² / 8) on the torus, of waves of 1 to 3 periods."""
    basis = world._basis(16)[0]
    covariance = basis @ basis.T
    np.testing.assert_allclose(np.diag(covariance), 1, atol=1e-12)
    step = np.minimum(np.arange(16), 16 - np.arange(16))
    distance = np.hypot(*np.meshgrid(step, step, indexing='ij')).ravel()
    waves = np.fft.fft2(np.exp(-(distance**2) / 8).reshape(16, 16)).real
    number = np.hypot(*np.meshgrid(step, step, indexing='ij'))
    wanted = np.fft.ifft2(np.where((number > 0) & (number <= 3), waves, 0)).real
    np.testing.assert_allclose(covariance[0], wanted.ravel() / wanted[0, 0], atol=2e-3)
    drawn = SMALL.heights(SMALL.factors('test'))
    assert drawn.std() == pytest.approx(1, abs=0.02)
    depth = SMALL.source('test')[np.arange(2000)]['x'][..., 0]
    np.testing.assert_allclose(depth, np.maximum(5 - drawn, 1), atol=1e-5)


def test_the_posterior_is_that_of_the_joint_gaussian():
    linear = Reliefs(train_size=10, linear=True, noise=0.1)
    rows = linear.source('test')[np.arange(2000)]
    mean, covariance = linear.posterior(rows['context'])
    # By the covariances of depth and image, without coefficients: heights and slopes at 256 places.
    heights, down, right = world._basis(16)
    x, y, z = linear.lights[0]
    shading = -x * down - y * right
    gain = -heights @ shading.T @ np.linalg.inv(shading @ shading.T + 0.01 * np.eye(256))
    contrast = rows['context'].reshape(2000, -1) - z
    np.testing.assert_allclose(mean.reshape(2000, -1), 5 + contrast @ gain.T, atol=1e-6)
    wanted = heights @ heights.T + gain @ shading @ heights.T
    np.testing.assert_allclose(covariance, wanted, atol=1e-6)
    error = (rows['x'][..., 0] - mean) / np.sqrt(np.diag(covariance)).reshape(16, 16)
    assert error.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(error) < 1.6449) == pytest.approx(0.9, abs=0.01)


def test_images_are_shaded_and_noisy_and_linear_for_small_slopes():
    coefficients = SMALL.factors('test')
    shaded = world.shade(SMALL.normals(coefficients), SMALL.lights)
    noise = SMALL.source('test')[np.arange(2000)]['context'] - shaded
    assert noise.std() == pytest.approx(0.05, rel=0.01) and abs(noise.mean()) < 1e-3
    p, q = (0.01 * slope for slope in SMALL.slopes(coefficients[:10]))
    x, y, z = SMALL.lights[0]
    flat = world.shade(world.normals_of(p, q), SMALL.lights)[..., 0]
    np.testing.assert_allclose(flat, z - x * p - y * q, atol=5e-4)
    six = Reliefs(train_size=10, num_lights=6)
    np.testing.assert_array_equal(six.factors('test'), coefficients)
    np.testing.assert_allclose(six.lights.sum(axis=0), [0, 0, 6 / np.sqrt(2)], atol=1e-12)


def test_splits_differ_and_mistakes_are_named():
    parts = [SMALL.factors(split)[:10] for split in ('train', 'validation', 'test')]
    assert not np.allclose(parts[0], parts[1]) and not np.allclose(parts[1], parts[2])
    with pytest.raises(UserError, match="no split 'tset'"):
        SMALL.source('tset')
    with pytest.raises(UserError, match='side must be more than 6, not 6'):
        Reliefs(side=6)
