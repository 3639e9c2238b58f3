"""Exact models fitted by counting: one pass over the data, no gradient."""

from genjax.models.tabular.box import UniformBox
from genjax.models.tabular.tables import JointTable, NaiveBayes, PixelNaiveBayes

__all__ = ['JointTable', 'NaiveBayes', 'PixelNaiveBayes', 'UniformBox']
