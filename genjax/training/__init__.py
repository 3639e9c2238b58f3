"""Training: one loop for every family of models."""

from genjax.parallel.sharding import MeshShape
from genjax.training.averages import HalfLife, PowerEMA
from genjax.training.background import Background
from genjax.training.experiment import Experiment
from genjax.training.latent import EncodeLatents, LoadLatents
from genjax.training.optimizers import DecayWeights, MuonWeights
from genjax.training.run_features import RunFeatures
from genjax.training.start import Start

__all__ = [
    'Background',
    'DecayWeights',
    'EncodeLatents',
    'Experiment',
    'HalfLife',
    'LoadLatents',
    'MeshShape',
    'MuonWeights',
    'PowerEMA',
    'RunFeatures',
    'Start',
]
