"""Stops runs at random moments, starts them again, and compares them with undisturbed ones.

    python -m experiments.preemption.run          # from the folder of the checkout; half an hour

Runs of two families (a VAE, and a GAN with two players) with validation, checkpoints and pictures
every few steps, of one process and of two. Every other moment is drawn evenly from the time before
the first step (the start, compilations), the others from that after it (steps, validations,
pictures, saves, the end); every other `kill -9` then waits for a save to be under way. Each run
that was stopped goes on until it is stopped again or complete; then its state, metrics, figures and
pictures are those of the undisturbed run, bit for bit, or this ends with the difference. Prints the
table of the README.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

FAMILIES = ('eventful', 'eventful_gan')
COUNTS = (1, 2)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--signals', type=int, default=20, help='SIGTERM or Ctrl-C, each kind')
    parser.add_argument('--kills', type=int, default=50, help='kill -9, all kinds together')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ['JAX_PLATFORMS'] = 'cpu'
        os.environ['JAX_COMPILATION_CACHE_DIR'] = f'{folder}/xla'
        os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        # Imported here: they read the environment.
        from tests.training.moments import Moments
        from tests.training.processes import Processes

        print('| | processes | moments | outcomes | runs completed, all the same |')
        print('|---|---|---|---|---|')
        processes, start = Processes(), time.monotonic()
        kinds = [(family, count) for family in FAMILIES for count in COUNTS]
        for what, total in (('signal', args.signals), ('kill -9', args.kills)):
            for place, (family, count) in enumerate(kinds):
                times = total if what == 'signal' else len(range(place, total, len(kinds)))
                name = f'{family}{count}{what[:4]}'
                moments = Moments(
                    processes, Path(folder) / name, family, count, args.seed, rehearsals=1
                )
                while moments.stopped < times:
                    moments.terminate() if what == 'signal' else moments.kill()
                moments.complete_the_last()
                print(_row(f'{what}, {family}', count, times, moments.outcomes, moments.complete))
                sys.stdout.flush()
        processes.close()
        print(f'seed {args.seed}, {(time.monotonic() - start) / 60:.0f} minutes')


def _row(name: str, count: int, times: int, outcomes: Counter, complete: int) -> str:
    parts = ', '.join(f'{number} {outcome}' for outcome, number in outcomes.most_common())
    return f'| {name} | {count} | {times} | {parts} | {complete} |'


if __name__ == '__main__':
    main()
