"""The fixtures of runs, for tests of what runs stand on."""

from tests.training.conftest import genjax, processes, train, trained, workdir

__all__ = ['genjax', 'processes', 'train', 'trained', 'workdir']
