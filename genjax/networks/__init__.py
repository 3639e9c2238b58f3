"""Flax (Linen) modules: arrays in, arrays out. No losses, no sampling, no data sets.

Every module computes in `dtype` and keeps its parameters in float32. Modules that emit data have a
field `shape`, the shape of one example. Modules that take a class label have a field `num_classes`.
"""

from genjax.networks.convolutional import ConvDecoder, ConvEncoder, ConvNet
from genjax.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from genjax.networks.ladder import Ladder
from genjax.networks.made import MaskedAutoencoder
from genjax.networks.masked import MaskedMLP
from genjax.networks.mlp import MLP
from genjax.networks.pixelcnn import GatedPixelCNN, PixelCNNPlusPlus
from genjax.networks.quantisers import FiniteScalarQuantiser, VectorQuantiser
from genjax.networks.sequences import TCN, Recurrent
from genjax.networks.token_transformer import TokenTransformer
from genjax.networks.transformer import Transformer

__all__ = [
    'MLP',
    'TCN',
    'ConvDecoder',
    'ConvEncoder',
    'ConvNet',
    'DCGANDiscriminator',
    'DCGANGenerator',
    'FiniteScalarQuantiser',
    'GatedPixelCNN',
    'Ladder',
    'MaskedAutoencoder',
    'MaskedMLP',
    'PixelCNNPlusPlus',
    'Recurrent',
    'TokenTransformer',
    'Transformer',
    'VectorQuantiser',
]
