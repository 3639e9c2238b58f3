"""Tiny models of the zoo: models that are fitted by counting."""

from genjax.models.tabular import JointTable, NaiveBayes, PixelNaiveBayes, UniformBox
from tests.models.zoo.entry import PICTURE, Entry

TABLES = (
    Entry('joint-table', JointTable((2, 3, 2), smoothing=1.0), 'bits', counted=True),
    Entry('naive-bayes', NaiveBayes((2, 3, 2, 4), smoothing=0.5), 'bits', counted=True),
    Entry('pixel-naive-bayes', PixelNaiveBayes(PICTURE, smoothing=0.1), 'levels', counted=True),
    Entry('uniform-box', UniformBox((5,)), 'reals', counted=True),
)
