"""Generative models in JAX: one loop, one contract, five families.

    run = genjax.load('runs/flow')
    x = run.sample(64, label=3)

Importing this package is cheap: JAX is imported with the first of the names below that is used.
"""

__version__ = '0.1.0'

_HOMES = {
    'load': 'genjax.training.loading',
    'Run': 'genjax.training.run',
    'train': 'genjax.training.train',
    'Experiment': 'genjax.training',
    'spec': 'genjax.config',
    **{
        name: f'genjax.{name}'
        for name in ('config', 'data', 'evaluation', 'models', 'networks', 'sampling', 'training')
    },
}

__all__ = ['Experiment', 'Run', 'load', 'spec', 'train']


def __getattr__(name):
    """Imports a name of the front door when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module

    module = import_module(_HOMES[name])
    return module if _HOMES[name] == f'{__name__}.{name}' else getattr(module, name)


def __dir__():
    return sorted({*globals(), *_HOMES})
