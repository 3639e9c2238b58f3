"""Training: one loop for every family of models."""

from genjax.training.experiment import Experiment
from genjax.training.latent import Encode, Encoded
from genjax.training.sharding import MeshShape

__all__ = ['Encode', 'Encoded', 'Experiment', 'MeshShape']
