"""Posteriors of five tasks at 10,000 simulations, judged by the benchmark's classifier.

    python -m experiments.posteriors.run --references=references --out=runs/posteriors
    python -m experiments.posteriors.run --references=references --out=runs/posteriors \
        --torch_python=PYTHON   # two_moons by the package sbi as well, in that interpreter
    python -m experiments.posteriors.run   # the tables, from results.json

Trains `configs/simulations/benchmark.py:npe_<task>`, draws 10,000 parameters given each of the
observations of sbibm (see `references.py`), and has `posterior_c2st` tell them from the reference
samples. Every part is stored as it ends; the same command continues.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import genjax
from experiments import records
from genjax import config as configs
from genjax.data import Simulations
from genjax.data.simulators import TwoMoons, observed
from genjax.files import replacing, write_json
from genjax.inference import Calibration, posterior_c2st, simulated

PUBLISHED = {'mixture': 0.661, 'two_moons': 0.606, 'sir': 0.680, 'slcp': 0.901, 'linear': 0.552}
SAMPLES = 10_000
RESULTS = Path(__file__).with_name('results.json')
CONFIG = Path(__file__).parents[2] / 'configs' / 'simulations' / 'benchmark.py'
SBI = Path(__file__).with_name('sbi_npe.py')
SBI_TASK = 'two_moons'


def observations(task: str, seed: int) -> range:
    """Numbers of the observations that a task and a seed are judged on: the classifier takes a
    hundred times as long as the samples, and longest in many dimensions.
    """
    if task == 'linear':
        return range(1, 4) if seed == 0 else range(1, 2)
    return range(1, 11) if seed == 0 else range(1, 4)


def config_of(task: str, seed: int):
    """The config of NPE, without its final evaluation, which is timed apart."""
    config = configs.load(f'{CONFIG}:npe_{task}', [('seed', str(seed))])
    del config.evals['calibration']
    return config


def train(task: str, seed: int, references: Path, out: Path) -> dict:
    """Trains a model and stores its samples; returns its record: CPU seconds
    of training and of all samples, leakage by observation, and calibration.
    """
    name = f'npe-{task}-{seed}'
    begin = time.process_time()
    run = genjax.train(config_of(task, seed), out / name)
    trained = time.process_time()
    samples, leakage = draw(run, references / f'{task}.npz', SAMPLES)
    drawn = time.process_time()
    with replacing(out / f'{name}.npz') as path, path.open('wb') as file:
        np.savez(file, samples=samples)
    calibration = run.evaluate({'c': Calibration()})
    return {
        'estimator': 'npe', 'task': task, 'seed': seed, 'step': run.step,
        'train_s': trained - begin, 'sample_s': drawn - trained,
        **{k.removeprefix('c/'): v for k, v in calibration.items()}, 'leakages': leakage,
    }  # fmt: skip


def draw(run: genjax.Run, reference: Path, num: int) -> tuple[np.ndarray, list[float]]:
    """Samples [O, num, P] given each observation in a file of references, and the leakages."""
    dataset, preprocess = run.experiment.dataset, run.experiment.preprocess
    samples, leakage = [], []
    with np.load(reference) as file:
        for number in range(1, 1 + sum(name.startswith('obs_') for name in file)):
            x = np.asarray(observed(dataset.task, file[f'obs_{number}']))
            found = simulated.samples(
                run.model, run.variables, dataset, preprocess, x, num, seed=number
            )
            samples.append(found.samples)
            leakage.append(round(found.leakage, 5))
    return np.stack(samples), leakage


def train_sbi(python: str, seed: int, references: Path, out: Path) -> dict:
    """Trains the package sbi's NPE with its defaults, in another interpreter, on the same 10,000
    simulations of two moons, and stores samples given the same observations; returns the record.
    """
    dataset = Simulations(TwoMoons(), 8000)
    rows = [dataset.source(split) for split in ('train', 'validation')]
    rows = [source[np.arange(len(source))] for source in rows]
    pairs = {name: np.concatenate([r[name] for r in rows]) for name in ('x', 'context')}
    with np.load(references / f'{SBI_TASK}.npz') as file:
        x = np.stack([file[f'obs_{number}'] for number in range(1, 11)])
    np.savez(out / 'simulations.npz', theta=pairs['x'], x=pairs['context'], observations=x)
    samples = f'sbi-{SBI_TASK}-{seed}.npz'
    words = [python, SBI, 'simulations.npz', samples, str(seed), str(SAMPLES)]
    done = subprocess.run(words, cwd=out, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {'estimator': 'sbi', 'task': SBI_TASK, 'seed': seed, **found}


def judge(record: dict, references: Path, out: Path) -> Iterator[float]:
    """Accuracies of the classifier for the observations of a record, each stored as it ends."""
    name = f'{record["estimator"]}-{record["task"]}-{record["seed"]}'
    path = out / f'{name}-c2st.json'
    found = json.loads(path.read_text()) if path.exists() else []
    with np.load(out / f'{name}.npz') as file, np.load(references / f'{record["task"]}.npz') as ref:
        samples = file['samples']
        for number in observations(record['task'], record['seed']):
            if len(found) < number:
                found.append(posterior_c2st(ref[f'ref_{number}'], samples[number - 1]))
                write_json(path, found)
            yield found[number - 1]


def measure(references: Path, out: Path, tasks: list[str], seeds: list[int], python: str | None):
    """Trains everything, then judges; prints and stores the results so far after each record."""
    out.mkdir(parents=True, exist_ok=True)
    found = [
        records.once(out / f'npe-{task}-{seed}.json', train, task, seed, references, out)
        for seed in seeds
        for task in tasks
    ]
    if python is not None:
        found += [
            records.once(
                out / f'sbi-{SBI_TASK}-{seed}.json', train_sbi, python, seed, references, out
            )
            for seed in seeds
        ]
    rows = []
    for record in sorted(found, key=lambda r: tasks.index(r['task'])):
        rows.append({**record, 'c2st': list(judge(record, references, out))})
        records.write_rows(out / 'results.json', rows)
        name = ' '.join(str(record[k]) for k in ('estimator', 'task', 'seed'))
        print(f'{name}: C2ST {np.mean(rows[-1]["c2st"]):.3f}', flush=True)
    return rows


def report(rows: list[dict]) -> str:
    """The tables: C2ST, calibration, and times beside sbi."""

    def of(task: str, estimator: str = 'npe') -> list[dict]:
        return [r for r in rows if (r['task'], r['estimator']) == (task, estimator)]

    lines = [
        '| task | observations | C2ST, seed 0 | worst | all seeds, on the first | published NPE |',
        '|---|---|---|---|---|---|',
    ]
    for task, published in PUBLISHED.items():
        found = of(task)
        first = found[0]
        common = min(len(row['c2st']) for row in found)
        seeds = [np.mean(row['c2st'][:common]) for row in found]
        lines.append(
            f'| {task} | {len(first["c2st"])} | {np.mean(first["c2st"]):.3f} |'
            f' {max(first["c2st"]):.3f} | {common}: {records.spread(seeds, 3)} | {published:.3f} |'
        )
    lines += [
        '',
        '| task | SBC p | coverage p | TARP p | of 90 % covered | information, nats | leakage % |'
        ' training, s |',
        '|---' * 8 + '|',
    ]
    for task in PUBLISHED:
        p = [
            ', '.join(f'{row[name]:.2g}' for row in of(task))
            for name in ('sbc_p', 'coverage_p', 'tarp_p')
        ]
        cells = [
            records.spread([scale * row[name] for row in of(task)], digits)
            for name, scale, digits in (
                ('coverage_90', 100, 1), ('information', 1, 3), ('leakage', 100, 2),
                ('train_s', 1, 0),
            )
        ]  # fmt: skip
        lines.append(f'| {task} | {" | ".join([*p, *cells])} |')
    if of(SBI_TASK, 'sbi'):
        common = min(len(r['c2st']) for name in ('npe', 'sbi') for r in of(SBI_TASK, name))
        lines += [
            '',
            f'| {SBI_TASK} | training, s | 100,000 samples, s | C2ST, first {common} |',
            '|---|---|---|---|',
        ]
        for name in ('npe', 'sbi'):
            found = of(SBI_TASK, name)
            cells = [records.spread([r[k] for r in found], 1) for k in ('train_s', 'sample_s')]
            cells.append(records.spread([np.mean(r['c2st'][:common]) for r in found], 3))
            label = {'npe': 'genjax', 'sbi': f'sbi {found[0].get("version")}'}[name]
            lines.append(f'| {label} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--references', type=Path, help='folder of the files of references.py')
    parser.add_argument('--out', type=Path, help='folder of the runs')
    parser.add_argument('--tasks', nargs='+', choices=PUBLISHED, default=[*PUBLISHED])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--torch_python', help='an interpreter with torch and sbi')
    args = parser.parse_args()
    if args.out is not None:
        measure(args.references, args.out, args.tasks, args.seeds, args.torch_python)
        RESULTS.write_text((args.out / 'results.json').read_text())
    print(report(json.loads(RESULTS.read_text())))


if __name__ == '__main__':
    main()
