"""The data sets that genjax brings along, as TFDS builders; each prepares itself on first use."""

BUNDLED = {
    'avatars': 'genjax.data.builders.avatars.Avatars',
    'digits': 'genjax.data.builders.digits.Digits',
    'gaussians': 'genjax.data.builders.gaussians.Gaussians',
    'jars': 'genjax.data.builders.jars.Jars',
    'world_points': 'genjax.data.builders.world_points.WorldPoints',
}
"""TFDS name to the import path of its builder class. Importing one imports TFDS, so it happens
late.
"""
