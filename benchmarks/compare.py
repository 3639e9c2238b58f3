"""Benchmarks side by side: runs commands in turn, round after round, and prints a table of ratios.

    python benchmarks/compare.py --rounds=5 'python benchmarks/vae_mlp.py' 'python peer.py' ...

Each command prints JSON lines with the fields case, figure, peer, variant, unit and value, where
more is better, as the benchmarks here do. genjax's fastest variant is set against the fastest of
all others, by their medians over the rounds; the ratio is the median of the rounds' ratios.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Runs the rounds, and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', type=Path, help='a .json file of all values, written every round')
    parser.add_argument('--plot', type=Path, help='a .png file of the ratios')
    parser.add_argument('commands', nargs='+')
    args = parser.parse_args()

    rows = []
    for number in range(args.rounds):
        for command in args.commands:
            lines = subprocess.run(shlex.split(command), check=True, stdout=subprocess.PIPE).stdout
            rows += [{**json.loads(line), 'round': number} for line in lines.splitlines()]
        if args.out:
            content = {'processor': processor(), 'threads': os.cpu_count(), 'rows': rows}
            args.out.write_text(json.dumps(content, indent=1) + '\n')
    found = comparisons(rows)
    print(f'{processor()}, {os.cpu_count()} threads, {args.rounds} rounds\n')
    print('| case | figure | genjax | fastest other | ratio (rounds) |')
    print('|---|---|---|---|---|')
    for case, figure, ours, theirs, other, ratios in found:
        print(
            f'| {case} | {figure} | {ours} | {theirs} {other} '
            f'| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |'
        )
    if args.plot:
        plot(found, args.plot)


def comparisons(rows: list[dict]) -> list[tuple]:
    """For each case and figure the two rates, the name of the fastest other, the rounds' ratios."""
    values = defaultdict(lambda: defaultdict(list))  # (case, figure, unit) -> (peer, variant)
    for row in rows:
        key = row['case'], row['figure'], row['unit']
        values[key][row['peer'], row['variant']].append(row['value'])
    found = []
    for (case, figure, unit), variants in values.items():
        slowest_first = sorted(variants.items(), key=lambda item: statistics.median(item[1]))
        ours = [rates for (peer, _), rates in slowest_first if peer == 'genjax'][-1]
        other, theirs = [item for item in slowest_first if item[0][0] != 'genjax'][-1]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        rates = [f'{statistics.median(rates):,.4g} {unit}' for rates in (ours, theirs)]
        found.append((case, figure, *rates, ' '.join(other), ratios))
    return found


def plot(found: list[tuple], path: Path) -> None:
    """Draws a bar for each ratio, and a line from the smallest to the largest of its rounds."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(8, 1 + 0.32 * len(found)), layout='constrained')
    axes = canvas.subplots()
    medians = [statistics.median(ratios) for *_, ratios in found]
    ends = [
        [median - min(ratios), max(ratios) - median]
        for median, (*_, ratios) in zip(medians, found, strict=True)
    ]
    colours = ['tab:blue' if median >= 1 else 'tab:orange' for median in medians]
    names = [f'{case}, {figure}' for case, figure, *_ in found]
    axes.barh(names, medians, color=colours, xerr=list(zip(*ends, strict=True)))
    axes.axvline(1, color='black', linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel('rate of genjax / rate of the fastest other')
    axes.spines[['top', 'right']].set_visible(False)
    canvas.savefig(path, dpi=110)


def processor() -> str:
    """Name of this machine's processor."""
    if (info := Path('/proc/cpuinfo')).exists():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':')[1].strip()
    return platform.processor()


if __name__ == '__main__':
    main()
