"""Seconds from the start of a fresh interpreter to the end of the first training step of the U-Net.

    python benchmarks/first_step.py [--rounds=5]

The case is that of `unet_ddpm.py`. The first interpreter compiles, and fills an empty cache of
compiled programs; the others load from it, as every run after the first does. One JSON line for
each: seconds of imports, of building the model, the data and the first parameters, and of the step,
and CPU seconds of all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, time
start = time.perf_counter()
import unet_ddpm
imported = time.perf_counter()
_, figures = unet_ddpm.calls()
built = time.perf_counter()
figures['train'][1]()
stepped = time.perf_counter()
parts = {'import': imported - start, 'build': built - imported, 'step': stepped - built}
print(json.dumps({name: round(seconds, 3) for name, seconds in parts.items()}))
"""


def main() -> None:
    """Prints a line for each start: the first without compiled programs, the others with them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5, help='starts with compiled programs')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        settings = {
            'JAX_COMPILATION_CACHE_DIR': cache,
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        }
        for number in range(args.rounds + 1):
            before = os.times()
            out = subprocess.run(
                [sys.executable, '-c', CHILD],
                check=True, stdout=subprocess.PIPE, text=True,
                cwd=Path(__file__).parent, env=os.environ | settings,
            ).stdout  # fmt: skip
            after = os.times()
            cpu = sum(after[2:4]) - sum(before[2:4])
            head = {'case': 'first-step', 'peer': 'genjax', 'variant': 'warm' if number else 'cold'}
            took = {'seconds': round(after.elapsed - before.elapsed, 3), 'cpu': round(cpu, 3)}
            print(json.dumps(head | took | json.loads(out)), flush=True)


if __name__ == '__main__':
    main()
