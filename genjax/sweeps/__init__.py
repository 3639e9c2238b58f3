"""Many runs from one config: combinators that define the trials, and launchers that run them."""

from genjax.sweeps.combinators import chain, product, seeds, subsample, zip

__all__ = ['chain', 'product', 'seeds', 'subsample', 'zip']
