"""Photometric stereo with known lights, and integration of slopes."""

import numpy as np


def estimate_normals(image: np.ndarray, lights: np.ndarray, shadow: float) -> np.ndarray:
    """Unit normals [..., 3] by least squares (Woodham, 1980), of images [..., L] of a Lambertian
    surface under lights [L, 3]. Pixels no brighter than `shadow` are left out; three of each must
    remain.
    """
    lit = (image > shadow).astype(float)
    gram = np.einsum('...l,li,lj->...ij', lit, lights, lights)
    normals = np.linalg.solve(gram, np.einsum('...l,li->...i', lit * image, lights)[..., None])
    return normals[..., 0] / np.linalg.norm(normals[..., 0], axis=-1, keepdims=True)


def integrate(p: np.ndarray, q: np.ndarray, spacing: float) -> np.ndarray:
    """Heights [..., H, W] with mean 0 whose slopes are closest to p, q [..., H, W], of a surface
    that repeats (Frankot & Chellappa, 1988); `spacing` is the distance of pixels.
    """
    rows, columns = (2 * np.pi * np.fft.fftfreq(n, spacing) for n in p.shape[-2:])
    u, v = np.meshgrid(rows, columns, indexing='ij')
    square = u**2 + v**2
    square[0, 0] = 1  # the slopes do not tell the mean
    wave = -1j * (u * np.fft.fft2(p) + v * np.fft.fft2(q)) / square
    wave[..., 0, 0] = 0
    return np.fft.ifft2(wave).real


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles [...] in degrees between unit vectors [..., 3]."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1)))
