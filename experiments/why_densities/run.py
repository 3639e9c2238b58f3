"""Why model p(x)? Questions about densities and labels, on the 8x8 digits.

    python -m experiments.why_densities.run [--out=runs/why_densities] [--parts ...]

With `--out`, measures the parts with each of their seeds, and writes `results.json` beside this
file when all are there; what is done already is not done again. Without, reads that file. Prints
the tables and, with `--out`, draws `docs/images/why_densities.png`.
"""

import argparse
import json
import time
from pathlib import Path

from experiments import records
from experiments.why_densities import attacks, codes, cues, energies, kinds, labels

PARTS = {
    'codes': codes, 'labels': labels, 'kinds': kinds, 'cues': cues, 'energies': energies,
    'attacks': attacks,
}  # fmt: skip
SEEDS = {'codes': 3, 'labels': 3, 'kinds': 1, 'cues': 3, 'energies': 3, 'attacks': 5}
RESULTS = Path(__file__).with_name('results.json')
IMAGE = Path(__file__).parents[2] / 'docs' / 'images' / 'why_densities.png'


def measure(out: Path, part: str, seed: int) -> list[dict]:
    """Rows of a part and a seed; each has the seconds of processor time of all."""
    begin = time.process_time()
    rows = PARTS[part].measure(out / part, seed)
    seconds = round(time.process_time() - begin)
    return [{**row, 'seconds': seconds} for row in rows]


def report(rows: list[dict]) -> str:
    """The tables of all parts."""
    tables = [
        module.report([row for row in rows if row['part'] == name])
        for name, module in PARTS.items()
        if any(row['part'] == name for row in rows)
    ]
    return '\n\n'.join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    if args.out is None:
        rows = json.loads(RESULTS.read_text())
    else:
        rows = [
            row
            for part in args.parts
            for seed in range(SEEDS[part])
            for row in records.once(args.out / f'{part}-{seed}.json', measure, args.out, part, seed)
        ]
        if args.parts == list(PARTS):
            records.write_rows(RESULTS, rows)
            energies.plot(args.out / 'energies', 0).savefig(IMAGE, dpi=130)
    print(report(rows))


if __name__ == '__main__':
    main()
