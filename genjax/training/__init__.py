"""Training: one loop for every family of models."""

from genjax.parallel.sharding import MeshShape
from genjax.training.experiment import Experiment
from genjax.training.latent import Encode, Encoded

__all__ = ['Encode', 'Encoded', 'Experiment', 'MeshShape']
