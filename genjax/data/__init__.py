"""Data sets, batches and preprocessing.

A data set (`Digits`, `Gaussians`, `TFDS`) has a `source` for each split; `train_batches` and
`eval_batches` make batches of it; a `Chain` of steps preprocesses these on the device for the
model.
"""

from genjax.data.arrays import Arrays
from genjax.data.augmentation import Colour, Crop, Flip, Mutate, ResizedCrop
from genjax.data.avatars import Avatars
from genjax.data.captioned import Captioned
from genjax.data.corrupted import Corrupted
from genjax.data.datasets import TFDS, Digits, Gaussians
from genjax.data.edm_augmentation import AugmentLabels, EDMAugment
from genjax.data.images import Images
from genjax.data.jars import Jars
from genjax.data.labelled import Labelled, SemiSupervised
from genjax.data.latents import Latents
from genjax.data.pipeline import batch_indices, eval_batches, train_batches
from genjax.data.preprocessing import AddNoise, Binarise, Chain, Dequantise, Logit, Scale
from genjax.data.simulations import Simulations
from genjax.data.stacked import Stacked
from genjax.data.standardise import Standardise
from genjax.data.table import Table
from genjax.data.tables import Binary, PianoRolls
from genjax.data.text import Text
from genjax.data.tokenizers import Bytes, Characters, Pixels
from genjax.data.toy.conditional import ConditionalGaussian
from genjax.data.toy.moving_digits import MovingDigits
from genjax.data.toy.plane import Density
from genjax.data.toy.reliefs import Reliefs
from genjax.data.toy.world import WorldPoints
from genjax.data.unpaired import Part, Transformed, Unpaired

__all__ = [
    'TFDS',
    'AddNoise',
    'Arrays',
    'AugmentLabels',
    'Avatars',
    'Binarise',
    'Binary',
    'Bytes',
    'Captioned',
    'Chain',
    'Characters',
    'Colour',
    'ConditionalGaussian',
    'Corrupted',
    'Crop',
    'Density',
    'Dequantise',
    'Digits',
    'EDMAugment',
    'Flip',
    'Gaussians',
    'Images',
    'Jars',
    'Labelled',
    'Latents',
    'Logit',
    'MovingDigits',
    'Mutate',
    'Part',
    'PianoRolls',
    'Pixels',
    'Reliefs',
    'ResizedCrop',
    'Scale',
    'SemiSupervised',
    'Simulations',
    'Stacked',
    'Standardise',
    'Table',
    'Text',
    'Transformed',
    'Unpaired',
    'WorldPoints',
    'batch_indices',
    'eval_batches',
    'train_batches',
]
