"""Steps a second of a run that another process follows, against those of one that nobody follows.

    python -m benchmarks.follower [--rounds=5] [--steps=4000]

The run has the first core, `genjax evaluate --follow` the second: what is left is what they share,
the folder and the memory. Rounds alternate; a rate is the median of a run's records, the figure the
median of the rounds' ratios. Linux with two cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = Path(__file__).parents[1] / 'configs' / 'digits' / 'vae.py'
EVALS = '--evals=@genjax.evaluation.MMD,@genjax.evaluation.PrecisionRecall'


def genjax(core: int, *words: str) -> subprocess.Popen:
    """Starts a command on one core."""
    return subprocess.Popen(
        [sys.executable, '-m', 'genjax', *words],
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )


def rate(steps: int, followed: bool) -> tuple[float, int]:
    """Steps a second of a run, and how many of its checkpoints were evaluated."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / 'run'
        fields = {'steps': steps, 'checkpoint_every': 500, 'log_every': 100, 'keep': 100}
        fields |= {'evals': '{}', 'best': None, 'sample_every': 0}
        words = [f'--config.{name}={value}' for name, value in fields.items()]
        run = genjax(0, 'train', f'--config={CONFIG}', f'--workdir={workdir}', *words)
        if followed:
            words = [f'--workdir={workdir}', '--follow', '--poll=1', EVALS]
            follower = genjax(1, 'evaluate', *words)
        assert run.wait() == 0
        lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
        rates = [line['steps_per_second'] for line in lines if line.get('steps_per_second')]
        assert not followed or follower.wait() == 0
        return statistics.median(rates), len(list(workdir.glob('evaluations/*.json')))


def main() -> None:
    """Prints both rates of each round, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=4000)
    args = parser.parse_args()
    ratios = []
    for number in range(args.rounds):
        alone, _ = rate(args.steps, followed=False)
        beside, evaluated = rate(args.steps, followed=True)
        ratios.append(beside / alone)
        print(
            f'round {number + 1}: alone {alone:.1f} steps/s, followed {beside:.1f} steps/s'
            f' ({evaluated} checkpoints evaluated), ratio {ratios[-1]:.3f}',
            flush=True,
        )
    print(f'median ratio {statistics.median(ratios):.3f}')


if __name__ == '__main__':
    main()
