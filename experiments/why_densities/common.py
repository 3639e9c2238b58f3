"""Data, networks and short training runs for all parts of the study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optax

import genjax
from experiments import records
from genjax.config import FieldReference, spec
from genjax.data import Chain, Digits
from genjax.models import VAE
from genjax.networks import MLP
from genjax.training import Experiment

SHAPE = (8, 8, 1)
WIDTHS = (256, 256)
BATCH = 100


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 8, 8, 1] and labels int [N] of a split."""
    source = Digits().source(split)
    examples = source[np.arange(len(source))]
    return examples['x'], examples['label']


def accuracy(run: genjax.Run, dataset: Any) -> float:
    """Computes the share of the test split of a data set that a run classifies correctly."""
    source = dataset.source('test')
    test = source[np.arange(len(source))]
    return float(np.mean(np.argmax(run.classify(test['x']), axis=1) == test['label']))


def network(shape: tuple[int, ...] | None = None) -> MLP:
    """The network of every model here."""
    return MLP(WIDTHS, shape=shape, activation='silu')


def vae(**options: Any) -> VAE:
    """A VAE with a code of 16 dimensions."""
    return VAE(encoder=network(), decoder=network(SHAPE), latent_dim=16, **options)


def trained(
    out: Path, name: str, seed: int, model: Any, preprocess: tuple, steps: int, **options: Any
) -> genjax.Run:
    """Trains a model with Adam, unless it is done, and returns the run at its end."""
    steps = FieldReference(steps)
    options = {'dataset': Digits(), 'batch_size': BATCH, 'steps_per_call': 10, **options}
    config = spec(
        Experiment,
        preprocess=Chain(preprocess),
        model=model,
        optimizer=spec(optax.adam, spec(optax.cosine_decay_schedule, 2e-3, steps)),
        steps=steps,
        ema=(0.99,),
        seed=seed,
        log_every=steps,
        checkpoint_every=0,
        **options,
    )
    return genjax.train(config, out / f'{name}-{seed}')


def cell(rows: list[dict], read: Callable[[dict], float], digits: int = 3) -> str:
    """Mean ± standard deviation of a number over rows."""
    return records.spread([read(row) for row in rows], digits)
