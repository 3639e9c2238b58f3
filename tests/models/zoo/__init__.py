"""Tiny models of every family, for tests that hold for all of them."""

import pytest

from tests.models.zoo.classifiers import CLASSIFIERS
from tests.models.zoo.diffusions import DIFFUSIONS
from tests.models.zoo.entry import PICTURE, Entry
from tests.models.zoo.flows import FLOWS
from tests.models.zoo.gans import GANS
from tests.models.zoo.sequences import SEQUENCES
from tests.models.zoo.tables import TABLES
from tests.models.zoo.vaes import VAES

__all__ = ['BY_NAME', 'PICTURE', 'REPRESENTATIVES', 'ZOO', 'Entry', 'every']

ZOO = (*VAES, *GANS, *CLASSIFIERS, *SEQUENCES, *TABLES, *FLOWS, *DIFFUSIONS)

BY_NAME = {entry.name: entry for entry in ZOO}

REPRESENTATIVES = (
    'vae-dropout-iwae',  # one phase
    'vae-factor',  # two phases, coupled
    'vq',  # model state
    'gan-wasserstein',  # repeats
    'gan-dcgan-batch-norm',  # model state, coupled
    'gan-augmented',  # counters
    'gpt-rotary-scan',  # tokens, scan
    'naive-bayes',  # counts
    'flow-matching-optimal',  # coupled by the loss
)


def every(entries=ZOO, few=()):
    """Parametrises a test by `entry`; with `few`, those not named there are of the full tier. What
    is not representative is not tested on the newest Python. The ids end in @zoo: tests/conftest.py
    runs the tests of a model together.
    """

    def parameter(entry):
        marks = [pytest.mark.slow] if entry.name not in REPRESENTATIVES else []
        marks += [pytest.mark.full] if few and entry.name not in few else []
        return pytest.param(entry, id=f'{entry.name}@zoo', marks=marks)

    return pytest.mark.parametrize('entry', [parameter(entry) for entry in entries])
