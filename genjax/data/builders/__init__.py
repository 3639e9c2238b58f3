"""Bundled data sets as TFDS builders; each is prepared on first use."""

BUNDLED = {
    'avatars': 'genjax.data.builders.avatars.Avatars',
    'digits': 'genjax.data.builders.digits.Digits',
    'gaussians': 'genjax.data.builders.gaussians.Gaussians',
    'jars': 'genjax.data.builders.jars.Jars',
    'world_points': 'genjax.data.builders.world_points.WorldPoints',
}
"""TFDS names and import paths of the builder classes, imported lazily because they import TFDS."""
