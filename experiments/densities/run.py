"""KL(data ‖ model) of flows on densities in the plane that are known in closed form.

    python -m experiments.densities.run --out=runs/densities [--models nsf cnf] [--seeds 0]

Trains every config of configs/densities on every density with every seed, one after another, and
prints a table; what is done already is not done again. `densities.png` in the same folder shows
the densities that the models of the first seed have learned, beside those of the data.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from experiments import records
from genjax.data.toy.densities import DENSITIES
from genjax.files import replacing

MODELS = ('realnvp', 'maf', 'nsf', 'cnf')
REACH, PIXELS = 4.5, 180  # of a picture: half its side in data units, and its pixels


def train(model: str, density: str, seed: int, workdir: Path, overrides: list[str]) -> dict:
    """Runs one config, and returns its test results and its seconds."""
    command = [
        sys.executable, '-m', 'genjax', 'train', f'--config=configs/densities/{model}.py',
        f'--workdir={workdir}', f'--config.dataset.name={density}', f'--config.seed={seed}',
        *overrides,
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    newest = max((workdir / 'evaluations').glob('*.json'), key=lambda path: int(path.stem))
    results = json.loads(newest.read_text())['evals']['test_kl']['results']
    return {**results, 'seconds': seconds}


def row(model: str, results: dict[str, list[dict]]) -> str:
    """A line of the table: mean and standard deviation over the seeds, for each density."""
    cells = [records.spread([run['kl'] for run in runs], 4) for runs in results.values()]
    seconds = [run['seconds'] for runs in results.values() for run in runs]
    return f'| {model} | {" | ".join(cells)} | {statistics.median(seconds):.0f} s |'


def learned_density(workdir: Path, points: np.ndarray) -> np.ndarray:
    """The density of a trained model at points [N, 2]."""
    import jax

    from genjax.training import loading as runs

    run = runs.load(workdir, 'latest')

    @jax.jit
    def log_prob(x):
        return run.experiment.model.log_prob(run.state.averaged, x, jax.random.key(0)).value

    return np.exp(np.concatenate([log_prob(part) for part in np.split(points, PIXELS)]))


def draw(models: list[str], densities: list[str], seed: int, out: Path) -> None:
    """Draws a row for each density: the data, then each model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    line = np.linspace(-REACH, REACH, PIXELS, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    size = (2.2 * (len(models) + 1), 2.3 * len(densities))
    figure = Figure(figsize=size, dpi=80, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(densities), len(models) + 1, squeeze=False)
    for density, axes_of_row in zip(densities, axes, strict=True):
        truth = np.exp(np.asarray(DENSITIES[density].log_prob(points)))
        pictures = {'data': truth} | {
            model: learned_density(out / f'{model}-{density}-{seed}', points) for model in models
        }
        for (name, values), axis in zip(pictures.items(), axes_of_row, strict=True):
            image = values.reshape(PIXELS, PIXELS)
            axis.imshow(image, origin='lower', vmin=0, vmax=truth.max(), cmap='viridis')
            axis.set_title(name, fontsize=9)
            axis.set_axis_off()
    with replacing(out / 'densities.png') as temporary:
        figure.savefig(temporary, format='png')


def main() -> None:
    """Trains what is missing, prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help='the folder of the runs')
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS))
    parser.add_argument('--densities', nargs='+', choices=[*DENSITIES], default=[*DENSITIES])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args, overrides = parser.parse_known_args()
    rows = []
    for model in args.models:
        results = {density: [] for density in args.densities}
        for density, seed in itertools.product(args.densities, args.seeds):
            workdir = args.out / f'{model}-{density}-{seed}'
            case = model, density, seed, workdir, overrides
            results[density].append(records.once(workdir / 'result.json', train, *case))
        rows.append(row(model, results))
    print(f'\n| model | {" | ".join(args.densities)} | a run |')
    print('|---' * (len(args.densities) + 2) + '|')
    print('\n'.join(rows))
    draw(args.models, args.densities, args.seeds[0], args.out)


if __name__ == '__main__':
    main()
