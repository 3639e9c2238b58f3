"""Reads reference posteriors out of the wheel of sbibm, the benchmark of Lueckmann et al. (2021).

    pip download --no-deps sbibm==1.1.0
    python -m experiments.posteriors.references sbibm-1.1.0-py2.py3-none-any.whl --out=references

Writes `<task>.npz` for each task: ten observations, `obs_1` …, the parameters that they were
simulated with, `true_1` …, and 10,000 reference samples given each, `ref_1` …. The wheel is read as
an archive; nothing of it is imported. sbibm is under the MIT licence.
"""

import argparse
import bz2
import io
import zipfile
from pathlib import Path

import numpy as np

NAMES = {
    'linear': 'gaussian_linear',
    'mixture': 'gaussian_mixture',
    'two_moons': 'two_moons',
    'slcp': 'slcp',
    'sir': 'sir',
    'lotka_volterra': 'lotka_volterra',
}


def read(wheel: Path, task: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a task, float32: obs_i [X], true_i [P], ref_i [10,000, P]."""

    def table(content: bytes) -> np.ndarray:
        return np.loadtxt(io.BytesIO(content), np.float32, delimiter=',', skiprows=1)

    arrays = {}
    with zipfile.ZipFile(wheel) as archive:
        for number in range(1, 11):
            folder = f'sbibm/tasks/{NAMES[task]}/files/num_observation_{number}'
            samples = archive.read(f'{folder}/reference_posterior_samples.csv.bz2')
            arrays[f'obs_{number}'] = table(archive.read(f'{folder}/observation.csv'))
            arrays[f'true_{number}'] = table(archive.read(f'{folder}/true_parameters.csv'))
            arrays[f'ref_{number}'] = table(bz2.decompress(samples))
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('wheel', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for task in NAMES:
        np.savez_compressed(args.out / f'{task}.npz', **read(args.wheel, task))


if __name__ == '__main__':
    main()
