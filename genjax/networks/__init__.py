"""Flax (Linen) modules: arrays in, arrays out. No losses, no sampling, no data sets.

Every module computes in `dtype` and keeps its parameters in float32. Modules that emit data have a
field `shape`, the shape of one example. Modules that take a condition are
`Conditional`: they have the fields `num_classes` and `context_shape`.
"""

from genjax.bridge import FromNNX, from_nnx
from genjax.networks.autoencoder import MapDecoder, MapEncoder
from genjax.networks.causal_window import CausalWindow
from genjax.networks.conditional import Conditional, condition_vector
from genjax.networks.conv_ladder import ConvLadder
from genjax.networks.convert import from_diffusers, to_diffusers
from genjax.networks.convolutional import ConvDecoder, ConvEncoder, ConvNet
from genjax.networks.cyclegan import PatchDiscriminator, Translator
from genjax.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from genjax.networks.dit import DiT
from genjax.networks.embedding import LabelEmbedding, TimeEmbedding
from genjax.networks.gumbel_quantiser import GumbelQuantiser
from genjax.networks.ladder import Ladder
from genjax.networks.lookup_free_quantiser import LookupFreeQuantiser
from genjax.networks.made import MaskedAutoencoder
from genjax.networks.masked import MaskedMLP
from genjax.networks.maxout import MaxoutMLP
from genjax.networks.mlp import MLP
from genjax.networks.mp_unet import MPUNet
from genjax.networks.pixelcnn import GatedPixelCNN, PixelCNNPlusPlus
from genjax.networks.quantisers import FiniteScalarQuantiser, VectorQuantiser
from genjax.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from genjax.networks.residual_quantiser import ResidualQuantiser
from genjax.networks.resnet_gan import ResNetDiscriminator, ResNetGenerator
from genjax.networks.sequences import TCN, Recurrent
from genjax.networks.stylegan import StyleGANGenerator
from genjax.networks.stylegan_discriminator import StyleGANDiscriminator
from genjax.networks.tarflow import TokenTransformer
from genjax.networks.time_mlp import TimeMLP
from genjax.networks.transformer import Transformer
from genjax.networks.uncertainty import TimeUncertainty
from genjax.networks.unet import UNet

__all__ = [
    'MLP',
    'TCN',
    'CausalWindow',
    'Conditional',
    'ConvDecoder',
    'ConvEncoder',
    'ConvLadder',
    'ConvNet',
    'DCGANDiscriminator',
    'DCGANGenerator',
    'DiT',
    'FiniteScalarQuantiser',
    'FromNNX',
    'GatedPixelCNN',
    'GumbelQuantiser',
    'LabelEmbedding',
    'Ladder',
    'LookupFreeQuantiser',
    'MPUNet',
    'MapDecoder',
    'MapEncoder',
    'MaskedAutoencoder',
    'MaskedMLP',
    'MaxoutMLP',
    'PatchDiscriminator',
    'PixelCNNPlusPlus',
    'R3GANDiscriminator',
    'R3GANGenerator',
    'Recurrent',
    'ResNetDiscriminator',
    'ResNetGenerator',
    'ResidualQuantiser',
    'StyleGANDiscriminator',
    'StyleGANGenerator',
    'TimeEmbedding',
    'TimeMLP',
    'TimeUncertainty',
    'TokenTransformer',
    'Transformer',
    'Translator',
    'UNet',
    'VectorQuantiser',
    'condition_vector',
    'from_diffusers',
    'from_nnx',
    'to_diffusers',
]
