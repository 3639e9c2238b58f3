"""Measures how many training steps each family takes in a given number of core-seconds.

python -m experiments.trilemma.calibrate digits --seconds=20

The families take turns, so that other work on the machine slows all of them down alike. What is
counted is the time that the process has a core, not the time that passes. The steps are written to
`steps.json`, from where the configs read them: with these a run is a function of its seed.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import jax

from experiments.trilemma import avatars, digits
from experiments.trilemma.families import STEPS
from genjax.config import build
from genjax.data.pipeline import train_batches
from genjax.files import write_json
from genjax.models.base import num_params
from genjax.training.experiment import Experiment
from genjax.training.programs import Programs, example_of

MULTIPLE = 50  # of the steps


def main() -> None:
    """Measures the families of a data set and writes their steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', choices=('digits', 'avatars'))
    parser.add_argument('--seconds', type=float, required=True, help='of a core, for each training')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--families', nargs='+', help='measure these, and keep the others')
    args = parser.parse_args()
    study = {'digits': digits, 'avatars': avatars}[args.data]
    calls, params = {}, {}
    for family in args.families or study.FAMILIES:
        calls[family], params[family] = training(build(study.config(family, MULTIPLE)))
    times: dict[str, list[float]] = {family: [] for family in calls}
    for _ in range(args.rounds):
        for family, call in calls.items():
            times[family].append(call())
    costs = {family: statistics.median(found) for family, found in times.items()}
    known = json.loads(STEPS.read_text()) if STEPS.exists() else {}
    found = known.setdefault(args.data, {})
    found.update(seconds=args.seconds, device=jax.devices()[0].device_kind)
    for family, cost in costs.items():
        steps = MULTIPLE * round(args.seconds / cost / MULTIPLE)
        for name, value in (
            ('parameters', params[family]), ('ms_per_step', round(1e3 * cost, 3)), ('steps', steps)
        ):  # fmt: skip
            found.setdefault(name, {})[family] = value
    write_json(STEPS, known)
    print(json.dumps(known[args.data], indent=1))


def training(experiment: Experiment, calls: int = 2) -> tuple[Callable[[], float], int]:
    """Returns a function that trains on and returns the seconds of a core for a step, after a
    warm-up, and the number of parameters.
    """
    source = experiment.dataset.source('train')
    programs = Programs.of(experiment, example_of(source), jax.devices()[:1])
    inner = experiment.calls
    batches = train_batches(source, batch_size=experiment.rows_per_step, seed=0)

    def stacked() -> dict[str, jax.Array]:
        parts = [next(batches) for _ in range(inner)]
        return jax.tree.map(lambda *rows: jax.numpy.stack(rows), *parts)

    inputs = [stacked() for _ in range(calls)]
    state = programs.init({name: rows[0] for name, rows in inputs[0].items()}, {})
    held = [jax.block_until_ready(programs.step(state, inputs[0]))[0]]

    def train() -> float:
        start = time.process_time()
        for batch in inputs:
            held[0], metrics = programs.step(held[0], batch)
            jax.block_until_ready(metrics)
        return (time.process_time() - start) / (calls * inner)

    return train, num_params(state.variables)


if __name__ == '__main__':
    main()
