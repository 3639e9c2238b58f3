"""Tiny models of the zoo: Classifiers."""

from genjax.models import JEM
from genjax.models.classifier import Classifier as ClassifierModel
from genjax.networks import MLP, ConvEncoder
from tests.models.zoo.entry import PICTURE, Entry

CLASSIFIERS = (
    Entry(
        'classifier',
        ClassifierModel(ConvEncoder((4, 8), dropout=0.1), 3, label_smoothing=0.1),
        'reals',
        shape=PICTURE,
    ),
    Entry(
        'jem',
        JEM(MLP((16,), activation='tanh'), 3, (2,), sgld_steps=3, step_size=0.1, buffer=20),
        'reals',
    ),
)
