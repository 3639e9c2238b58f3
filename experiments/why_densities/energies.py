"""Can a classifier create what it can tell?

Langevin chains follow the logits f_y(x) of a plain classifier, and of a JEM of the same network,
which was trained as a density. Another network judges the samples.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.why_densities.common import SHAPE, cell, digits, network, trained
from genjax.data import Scale
from genjax.evaluation import frechet_distance
from genjax.models import JEM, Classifier
from genjax.models.energy import langevin
from genjax.networks import ConvNet

NUM, CHAIN = 500, 400  # samples, and steps of a chain from noise
STEPS = {'classifier': 500, 'jem': 2000, 'judge': 600}
ARMS = ('classifier', 'JEM')


def measure(out: Path, seed: int) -> list[dict]:
    """Shares of samples that the judge gives the class they were made for, their Fréchet distance
    from training images, and the test accuracy of what they come from.
    """
    scale = (Scale(low=-1.0),)
    jem = JEM(network(), 10, SHAPE, buffer=1000)
    judge = trained(
        out, 'judge', seed, Classifier(ConvNet((32, 64), pool=2), 10), scale, STEPS['judge'],
        steps_per_call=1,
    )  # fmt: skip
    (real, _), (x, label) = digits('train'), digits('test')
    asked = np.arange(NUM) % 10
    rows = []
    for arm, model in zip(ARMS, (Classifier(network(), 10), jem), strict=True):
        run = trained(out, arm.lower(), seed, model, scale, STEPS[arm.lower()])
        images = _samples(run, jem, asked, seed)
        features = judge.features(images)
        found = np.argmax(judge.classify(images), axis=1) == asked
        rows.append(
            {
                'part': 'energies',
                'seed': seed,
                'arm': arm,
                'accuracy': float(np.mean(np.argmax(run.classify(x), axis=1) == label)),
                'right': float(np.mean(found)),
                'distance': float(frechet_distance(judge.features(real), features)),
                'test_distance': float(frechet_distance(judge.features(real), judge.features(x))),
            }
        )
        np.save(out / f'samples-{arm.lower()}-{seed}.npy', images)
    return rows


def _samples(run, jem: JEM, asked: np.ndarray, seed: int) -> np.ndarray:
    """Images uint8 [N, 8, 8, 1] at the end of chains from noise, with JEM's steps, each along the
    logit of its class.
    """
    start_key, key = jax.random.split(jax.random.key(seed))
    start = jax.random.uniform(start_key, (len(asked), *SHAPE), minval=-1.0, maxval=1.0)

    @jax.jit
    def ends(variables):
        def log_density(x):
            logits = run.model.classify(variables, x)
            return logits[jnp.arange(len(asked)), asked]

        return langevin(log_density, start, key, CHAIN, jem.step_size, jem.noise)

    x = np.clip(np.asarray(ends(run.variables)), -1, 1)
    return np.round(127.5 * (x + 1)).astype(np.uint8)


def plot(out: Path, seed: int) -> Figure:
    """Samples of a seed, a column for each class."""
    figure = Figure(figsize=(8, 2.4), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, arm in zip(figure.subplots(1, 2), ARMS, strict=True):
        x = np.load(out / f'samples-{arm.lower()}-{seed}.npy')[:50].reshape(5, 10, 8, 8)
        axes.imshow(x.transpose(0, 2, 1, 3).reshape(40, 80), cmap='gray')
        axes.set(title=f'along the logits of a {arm}')
        axes.axis('off')
    return figure


def report(rows: list[dict]) -> str:
    """The table: what each arm's samples are."""
    lines = ['| samples of | its test accuracy | right by the judge | Fréchet distance |']
    lines.append('|---' * 4 + '|')
    for arm in ARMS:
        own = [row for row in rows if row['arm'] == arm]
        cells = [cell(own, lambda row: row['accuracy']), cell(own, lambda row: row['right'])]
        cells.append(cell(own, lambda row: row['distance'], 1))
        lines.append(f'| {arm} | {" | ".join(cells)} |')
    test = cell(own, lambda row: row['test_distance'], 1)
    return '\n'.join([*lines, f'| test images | – | – | {test} |'])
