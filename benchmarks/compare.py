"""Benchmarks side by side: runs commands in turn, round after round, and prints a table of ratios.

    python benchmarks/compare.py --rounds=5 'python benchmarks/vae_mlp.py' 'python peer.py' ...

Each command prints JSON lines with the fields case, figure, peer, variant, unit and value, where
more is better, as the benchmarks here do. genjax's fastest variant is set against the fastest of
all others, by their medians over the rounds; the ratio is the median of the rounds' ratios.
"""

import argparse
import json
import shlex
import statistics
import subprocess
from collections import defaultdict


def main() -> None:
    """Runs the rounds and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('commands', nargs='+')
    args = parser.parse_args()

    values = defaultdict(lambda: defaultdict(list))  # (case, figure, unit) -> (peer, variant)
    for _ in range(args.rounds):
        for command in args.commands:
            lines = subprocess.run(shlex.split(command), check=True, stdout=subprocess.PIPE).stdout
            for row in map(json.loads, lines.splitlines()):
                key = row['case'], row['figure'], row['unit']
                values[key][row['peer'], row['variant']].append(row['value'])

    print('| case | figure | genjax | fastest other | ratio (rounds) |')
    print('|---|---|---|---|---|')
    for (case, figure, unit), found in values.items():
        slowest_first = sorted(found.items(), key=lambda item: statistics.median(item[1]))
        ours = [rates for (peer, _), rates in slowest_first if peer == 'genjax'][-1]
        other, theirs = [item for item in slowest_first if item[0][0] != 'genjax'][-1]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f'| {case} | {figure} | {statistics.median(ours):,.0f} {unit} '
            f'| {statistics.median(theirs):,.0f} {" ".join(other)} '
            f'| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |'
        )


if __name__ == '__main__':
    main()
