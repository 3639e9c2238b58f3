"""`genjax evaluate`: evaluates a trained model, also over sampling options."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genjax import files
from genjax.cli import runtime
from genjax.errors import UserError, nearest

if TYPE_CHECKING:
    from genjax.training.run import Run

HELP = 'evaluate a trained model'
GROUPS = ('sampling',)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `evaluate`."""
    runtime.add_run(parser)
    parser.add_argument(
        '--sweep', metavar='WORDS',
        help="evaluate with each of several sampling options, such as"
        " 'product(sampling.guide.weight=[0,1,2])' (docs/sweeps.md), into a table, JSON and a plot",
    )  # fmt: skip
    parser.add_argument(
        '--out', type=files.output, metavar='FILE',
        help='the .json to write; of a sweep the .png as well (default: in the folder of the run)',
    )  # fmt: skip
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluates and prints a table. Results with the options and variables of the config are kept
    in `evaluations/<step>.json`, those of a sweep in `evaluations/sampling/`.
    """
    trials = None if args.sweep is None else _trials(args.sweep)
    if args.out and Path(args.out).suffix not in ('.json', '.png'):
        raise UserError(f'--out={args.out}: name it .json or .png')
    with runtime.computing(args):
        from genjax.evaluation.results import show
        from genjax.files import write_json
        from genjax.parallel import distributed
        from genjax.training import results

        run = runtime.load_run(args)
        evals = run.experiment.final_evals
        title = f'{args.workdir}, step {run.step:,}'
        if trials is not None:
            _evaluate_sweep(args, run, trials, title)
            return
        found = run.evaluate(evals)
        if not distributed.is_first():
            return
        show(found, title)
        if args.out:
            write_json(Path(args.out), {'step': run.step, 'results': found, **_options(args)})
        elif args.sampling or args.ema is not True:
            print(
                '(other sampling options or variables than those of the config: --out keeps this)'
            )
        else:
            results.keep(run, evals, found)


def _trials(text: str) -> list[dict[str, Any]]:
    """The sampling options of each trial of a sweep, by their paths without `sampling.`."""
    from genjax.sweeps.combinators import parse

    trials = parse(text)
    if not trials:
        raise UserError('the sweep has no trials')
    for name in {name for trial in trials for name in trial}:
        if not name.startswith('sampling.'):
            hint = nearest(name, [f'sampling.{name}'])
            raise UserError(
                f'--sweep: {name} is not a sampling option{hint}; a sweep over training is'
                ' `genjax sweep`'
            )
    return [{n.removeprefix('sampling.'): v for n, v in trial.items()} for trial in trials]


def _evaluate_sweep(
    args: argparse.Namespace, run: 'Run', trials: list[dict[str, Any]], title: str
) -> None:
    from genjax.evaluation.results import numbers
    from genjax.files import refuse_links, write_json
    from genjax.parallel import distributed
    from genjax.reports import curve
    from genjax.training.workdir import provenance

    # All are built before the first is drawn.
    runs = [run.with_options([*args.sampling, *trial.items()]) for trial in trials]
    rows = []
    for trial, other in zip(trials, runs, strict=True):
        rows.append((trial, numbers(other.evaluate(run.experiment.final_evals))))
        if distributed.is_first():
            print(f'{len(rows)}/{len(trials)}  {curve.line(*rows[-1])}', flush=True)
    if not distributed.is_first():
        return
    if args.out is None:
        refuse_links(run.workdir)
    name = ','.join(dict.fromkeys(field for trial in trials for field in trial))
    default = run.workdir / 'evaluations' / 'sampling' / f'{run.step}-{name}'
    out = default if args.out is None else Path(args.out).with_suffix('')
    content: Mapping[str, Any] = {
        'step': run.step,
        'trials': [{'sampling': trial, 'results': found} for trial, found in rows],
        **_options(args),
        'provenance': provenance(),
    }
    write_json(out.with_name(f'{out.name}.json'), content)
    curve.save(rows, out.with_name(f'{out.name}.png'), title)
    curve.show(rows, title)
    print(f'{out}.json, {out}.png')


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {'sampling': dict(args.sampling), 'ema': args.ema}
