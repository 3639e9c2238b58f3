"""Seconds and peak memory of metrics of samples, against the packages `prdc` and `torch-fidelity`.

    python -m benchmarks.metrics --torch_python=PATH [--rounds=3] [--num=5000] [--features=256]
    python -m benchmarks.metrics --num=50000 --features=2048 --rounds=1

Features are normal numbers. Rounds alternate, each metric in a process of its own that runs it
twice and times the second; a ratio is the median of the rounds'. Memory is the peak above that
before the first run. The other packages run in the interpreter `--torch_python`, if one is given.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

TIMED = """
import json, resource, sys, time
import numpy as np
num, size = map(int, sys.argv[1:])
a, b = (np.random.default_rng(s).standard_normal((num, size), dtype=np.float32) for s in (0, 1))
b = np.float32(1.1) * b + np.float32(0.1)
{setup}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for _ in range(2):
    start = time.perf_counter()
    value = {call}
    seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{'seconds': seconds, 'peak_mb': peak - before, 'value': value}}))
"""

OURS = {
    'Fréchet distance': (
        'from genjax.evaluation import frechet_distance',
        'frechet_distance(a, b)',
    ),
    'kernel distance': (
        'from genjax.evaluation import kernel_distance',
        'kernel_distance(a, b)[0]',
    ),
    'precision, recall, density, coverage': (
        'from genjax.evaluation import prdc',
        'prdc(a, b)._asdict()',
    ),
}

KID = (
    'kid_subsets=100, kid_subset_size=1000, kid_kernel="poly", kid_kernel_poly_degree=3,'
    ' kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1.0, rng_seed=0, verbose=False'
)
THEIRS = {
    'Fréchet distance': (
        'import torch, torch_fidelity.metric_fid as m; a, b = map(torch.from_numpy, (a, b))',
        'next(iter(m.fid_statistics_to_metric(*map(m.fid_features_to_statistics, (a, b)),'
        ' verbose=False).values()))',
    ),
    'kernel distance': (
        'import torch, torch_fidelity.metric_kid as m; a, b = map(torch.from_numpy, (a, b))',
        f'm.kid_features_to_metric(a, b, {KID})["kernel_inception_distance_mean"]',
    ),
    'precision, recall, density, coverage': (
        'from prdc import compute_prdc',
        '{k: float(v) for k, v in compute_prdc(a, b, nearest_k=5).items()}',
    ),
}


def measure(python: str, code: tuple[str, str], num: int, size: int) -> dict:
    """Seconds, peak memory in MB, and the value of a metric, in a process of its own."""
    program = TIMED.format(setup=code[0], call=code[1])
    words = [python, '-c', program, str(num), str(size)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {'failed': f'exit status {done.returncode}'}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints a line for each metric, and writes all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--torch_python', help='an interpreter with prdc and torch-fidelity')
    parser.add_argument('--num', type=int, default=5000)
    parser.add_argument('--features', type=int, default=256)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', type=Path, help='a .json file')
    args = parser.parse_args()
    results = {}
    for name, code in OURS.items():
        ours, theirs = [], []
        for _ in range(args.rounds):
            ours.append(measure(sys.executable, code, args.num, args.features))
            if args.torch_python:
                theirs.append(measure(args.torch_python, THEIRS[name], args.num, args.features))
        results[name] = {'genjax': ours, 'other': theirs}
        line = f'{name}: {statistics.median(r["seconds"] for r in ours):.3f} s'
        line += f', {max(r["peak_mb"] for r in ours):.0f} MB'
        if theirs and all('seconds' in r for r in theirs):
            pairs = zip(ours, theirs, strict=True)
            ratio = statistics.median(t['seconds'] / o['seconds'] for o, t in pairs)
            line += f'; the other {statistics.median(r["seconds"] for r in theirs):.3f} s'
            line += f', {max(r["peak_mb"] for r in theirs):.0f} MB: {ratio:.1f} times as long'
        elif theirs:
            line += f'; the other {theirs[0]}'
        print(line, flush=True)
    if args.out:
        content = {'num': args.num, 'features': args.features, 'results': results}
        args.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n')


if __name__ == '__main__':
    main()
