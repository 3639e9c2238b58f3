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

__all__ = ['BY_NAME', 'PICTURE', 'REPRESENTATIVES', 'VARIANTS', 'ZOO', 'Entry', 'every']

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

VARIANTS = {
    'vae-conv-logistic': 'vae',
    'vae-gaussian': 'vae',
    'vae-context': 'vae',
    'vae-dreg-mixture': 'vae-dropout-iwae',
    'vae-vamp': 'vae',
    'vae-labels-free-bits': 'vae',
    'vae-iaf': 'vae',
    'vq-fsq': 'vq',
    'vq-residual': 'vq',
    'vq-gumbel': 'vq',
    'vq-lookup-free': 'vq',
    'ladder-maps': 'ladder',
    'autoencoder-kl': 'autoencoder-vq',
    'gan': 'gan-wasserstein',
    'gan-dcgan-labels': 'gan-k-plus-1',
    'gan-sagan': 'gan-k-plus-1',
    'gan-packed': 'gan-dcgan-batch-norm',
    'gan-auxiliary': 'gan-k-plus-1',
    'gan-feature-matching': 'gan-k-plus-1',
    'cyclegan': 'cyclegan-pool',
    'gpt': 'gpt-rotary-scan',
    'gpt-lstm': 'gpt-rotary-scan',
    'frames-tcn': 'frames-made',
    'pixelcnn++': 'pixelcnn',
    'discrete-masking': 'discrete-uniform',
    'flow-maf-spline': 'flow-realnvp-context',
    'flow-glow': 'flow-realnvp-context',
    'flow-transformer': 'flow-realnvp-context',
    'flow-matching': 'flow-matching-optimal',
    'flow-matching-nnx': 'flow-matching-optimal',
    'diffusion-labels': 'diffusion-edm-autoguided-context',
    'diffusion-classifier': 'diffusion-edm-autoguided-context',
    'diffusion-dit': 'flow-matching-optimal',
}
"""Models of the full tier, each with one of the normal tier that has the same code of the loss and
goes the same way through the training loop. What a variant has of its own is mathematics, which has
its own tests.
"""


def every(entries=ZOO, few=None):
    """Parametrises a test by `entry`. Of the full tier are the `VARIANTS`, or, with `few`, all that
    are not named there. What is not representative is slow: not of the tests of `--quick`. The ids
    end in @zoo: tests/conftest.py runs the tests of a model together.
    """

    def parameter(entry):
        marks = [pytest.mark.slow] if entry.name not in REPRESENTATIVES else []
        full = entry.name in VARIANTS if few is None else entry.name not in few
        marks += [pytest.mark.full] if full else []
        return pytest.param(entry, id=f'{entry.name}@zoo', marks=marks)

    return pytest.mark.parametrize('entry', [parameter(entry) for entry in entries])
