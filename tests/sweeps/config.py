"""`genjax sweep --config=tests/sweeps/config.py`: runs of a second."""

from genjax.sweeps import product, seeds
from tests.training import tiny


def get_config():
    return tiny.vae()


def sweep():
    return product({'model.beta': [0.5, 2.0]}, seeds(2))
