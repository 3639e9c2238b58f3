"""Generative models in JAX: one loop, one contract, five families.

Importing this package is cheap: nothing here pulls in JAX. Import the module you need, such as
`genjax.networks` or `genjax.models`.
"""

__version__ = '0.1.0'
