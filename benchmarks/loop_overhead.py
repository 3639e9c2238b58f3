"""Steps a second of the training loop against a bare loop over the same compiled step.

    python benchmarks/loop_overhead.py [--rounds=5] [--steps=1100]

The loop does all it does in `genjax train`: it makes batches, fetches, checks and logs metrics, and
saves checkpoints asynchronously. The bare loop calls the step on one batch. Rounds alternate; the
ratio is taken round by round, and its median is the figure.
"""

import argparse
import contextlib
import dataclasses
import io
import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from genjax.config import build, spec
from genjax.data import Binarise, Chain, Digits, train_batches
from genjax.models import VAE
from genjax.networks import MLP
from genjax.parallel import sharding
from genjax.parallel.preemption import Preemption
from genjax.training import Experiment
from genjax.training import loading as runs
from genjax.training.loop import Loop
from genjax.training.programs import Programs, example_of
from genjax.training.timesheet import Timesheet
from genjax.training.workdir import claim

WARM_UP = 5


def experiment(steps: int) -> ConfigDict:
    """A VAE whose step takes about 20 ms on two cores."""
    width = (1024, 1024)
    return spec(
        Experiment,
        dataset=Digits(),
        preprocess=Chain((Binarise(),)),
        model=VAE(MLP(width), MLP(width, shape=(8, 8, 1)), latent_dim=32),
        optimizer=spec(optax.adam, 1e-3),
        steps=steps,
        batch_size=256,
        ema=(0.999,),
        checkpoint_every=500,
    )


def bare(programs: Programs, source, rows: int, steps: int) -> float:
    """Steps a second of the compiled step alone."""
    batch = next(train_batches(source, batch_size=rows, seed=0))
    placed = sharding.place(batch, programs.batch_sharding)
    state = programs.init(placed)
    for call in range(steps):
        if call == WARM_UP:
            jax.block_until_ready(state)
            start = time.perf_counter()
        state, _ = programs.step(state, placed)
    jax.block_until_ready(state)
    return (steps - WARM_UP) / (time.perf_counter() - start)


def looped(config: ConfigDict, settings: Experiment, programs: Programs, source) -> float:
    """Steps a second of the training loop, from its first warm call to its last."""
    times = []

    def timed_step(*args):
        times.append(time.perf_counter())
        return programs.step(*args)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        workdir = Path(folder)
        record = claim(workdir, config, example_of(source), source, {})
        checkpoints = runs.open_checkpoints(settings, workdir)
        wrapped = dataclasses.replace(programs, step=timed_step)
        with Preemption() as interruption:
            Loop(
                settings, workdir, source, wrapped, checkpoints, interruption,
                Timesheet(workdir, time.time()),
            ).train(record, None, {}, [])  # fmt: skip
        checkpoints.close()
    return (len(times) - 1 - WARM_UP) / (times[-1] - times[WARM_UP])


def main() -> None:
    """Prints the two rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=1100)
    args = parser.parse_args()

    config = experiment(args.steps)
    settings = build(config)
    source = settings.dataset.source('train')
    programs = Programs.of(settings, example_of(source))
    bare(programs, source, settings.rows_per_step, WARM_UP + 1)  # compiles
    rates = []
    for number in range(args.rounds):
        alone = bare(programs, source, settings.rows_per_step, args.steps)
        rates.append((alone, looped(config, settings, programs, source)))
        print(f'round {number + 1}: bare {alone:.1f} steps/s, loop {rates[-1][1]:.1f} steps/s')
    medians = np.median(np.array(rates), axis=0)
    ratio = statistics.median(loop / alone for alone, loop in rates)
    print(
        f'median: bare {medians[0]:.1f} steps/s ({1000 / medians[0]:.1f} ms a step),'
        f' loop {medians[1]:.1f} steps/s, ratio {ratio:.3f}'
    )


if __name__ == '__main__':
    main()
