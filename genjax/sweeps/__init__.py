"""Many runs from one config: the words that say which, and what carries them out."""

from genjax.sweeps.combinators import chain, product, seeds, subsample, zip

__all__ = ['chain', 'product', 'seeds', 'subsample', 'zip']
