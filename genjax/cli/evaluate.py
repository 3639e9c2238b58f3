"""`genjax evaluate`: evaluates a trained model, with other metrics or sampling options if given."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genjax import files
from genjax.cli import runtime
from genjax.errors import UserError, nearest

if TYPE_CHECKING:
    from genjax.evaluation import Evaluator
    from genjax.training.run import Run

HELP = 'evaluate a trained model'
GROUPS = ('sampling', 'evals')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runtime.add_run(parser)
    parser.add_argument(
        '--evals', dest='evaluators', metavar='@MODULE.EVALUATOR,…',
        help="evaluators to run instead of the config's final evals;"
        ' --evals.num_samples=100 sets a field, --evals.mmd.num_samples=100 that of a named one',
    )  # fmt: skip
    parser.add_argument(
        '--card', action='store_true',
        help='run the standard evals: quality, diversity, novelty, likelihood, speed;'
        ' --evals.features=@genjax.evaluation.PCA and --evals.num_samples=1000 set their options',
    )  # fmt: skip
    parser.add_argument(
        '--split', choices=('train', 'validation', 'test'),
        help="split of the data (default: the evaluator's own)",
    )  # fmt: skip
    parser.add_argument(
        '--sweep', metavar='WORDS',
        help="evaluate a sweep over sampling options, such as"
        " 'product(sampling.guide.weight=[0,1,2])' (docs/sweeps.md), into a table, JSON and a plot",
    )  # fmt: skip
    parser.add_argument(
        '--follow', action='store_true',
        help='evaluate each checkpoint of a run that is training, until it ends; the run may be on'
        ' another machine',
    )  # fmt: skip
    parser.add_argument(
        '--poll', type=float, default=5.0, metavar='SECONDS',
        help='with --follow: time between looks at the folder (default 5)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=files.output, metavar='FILE',
        help='the .json to write; for a sweep also a .png (default: in the run folder)',
    )  # fmt: skip
    runtime.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Evaluates and prints a table. Results with the config's sampling options and variables are
    saved in `evaluations/<step>.json`, those of a sweep in `evaluations/sampling/`.
    """
    trials = None if args.sweep is None else _trials(args.sweep)
    if args.out and args.out.suffix not in ('.json', '.png'):
        raise UserError(f'--out={args.out}: name it .json or .png')
    if args.follow:
        for name, is_set in (
            ('sweep', args.sweep), ('out', args.out), ('step', args.step != 'best'),
            ('sampling', args.sampling), ('ema', args.ema is not True),
            ('ema_std', args.ema_std is not None),
        ):  # fmt: skip
            if is_set:
                raise UserError(f'--follow does not go with --{name}')
        if not args.poll > 0:
            raise UserError(f'--poll={args.poll:g} must be positive')
    with runtime.computing(args):
        from genjax.evaluation.results import show
        from genjax.files import write_json
        from genjax.parallel import distributed
        from genjax.training import results
        from genjax.training.images import write_neighbours

        if args.follow:
            _follow(args)
            return
        run = runtime.load_run(args)
        evals = _evals(args, run)
        title = f'{args.workdir}, step {run.step:,}'
        if trials is not None:
            _evaluate_sweep(args, run, evals, trials, title)
            return
        found = run.evaluate(evals)
        if not distributed.is_first():
            return
        show(found, title)
        if args.out:
            write_json(args.out, {'step': run.step, 'results': found, **_options(args)})
        elif args.sampling or _averaged(args) or (args.split and not args.evaluators):
            print('(other options or variables than those of the config: --out keeps this)')
        else:
            results.keep(run, evals, found)
            if args.card:
                write_neighbours(run.experiment, run.variables, run.workdir, run.step)


def _evals(args: argparse.Namespace, run: 'Run') -> dict[str, 'Evaluator']:
    """Returns the evaluators of `--evals`, named by split and lower-case class name, or else the
    final evals of the config.

    """
    import dataclasses

    from genjax import config as configs
    from genjax.evaluation import Card, Evaluator
    from genjax.training.groups import Evals

    if args.card:
        if args.evaluators is not None:
            raise UserError('--card is a set of evals: give it or --evals')
        config = configs.spec(Card)
        for field, value in args.evals:
            configs.override(config, field, value)
        configs.check_complete(config)
        evals = configs.build(config).evals(run.model)
    elif args.evaluators is None:
        if args.evals:
            field = args.evals[0][0]
            raise UserError(f'--evals.{field} is a field of no --evals=@module.Evaluator')
        evals = run.experiment.final_evals
        if not evals:
            raise UserError(
                'the config of this run has no evals at its end: give some, such as'
                ' --evals=@genjax.evaluation.Likelihood'
            )
    else:
        configs.trust.on_path('.')  # the user's module may be in the current folder
        paths = [path.strip() for path in args.evaluators.split(',')]
        names = [path.rpartition('.')[2].lower() for path in paths]
        for name, path in zip(names, paths, strict=True):
            if not path.startswith('@') or names.count(name) > 1:
                raise UserError(
                    f'--evals={args.evaluators}: give evaluators of different names, such as'
                    ' @genjax.evaluation.Likelihood'
                )
        config = configs.spec(Evals)
        content = dict(zip(names, paths, strict=True))
        configs.override(config, 'evals', repr(content))
        for field, value in args.evals:
            first = field.partition('.')[0]
            whole = field if first in names or len(names) > 1 else f'{names[0]}.{field}'
            configs.override(config, f'evals.{whole}', value)
        configs.check_complete(config)
        evals = configs.build(config).evals
        for name, evaluator in evals.items():
            if not isinstance(evaluator, Evaluator):
                raise UserError(f'--evals: {content[name]} is not an Evaluator')
    if args.split is not None:
        evals = {n: dataclasses.replace(e, split=args.split) for n, e in evals.items()}
    if args.evaluators is not None:
        evals = {f'{e.split}_{name}': e for name, e in evals.items()}
    return dict(evals)


def _follow(args: argparse.Namespace) -> None:
    """Evaluates each checkpoint as it appears, and prints a line for it."""
    import functools
    import time

    import jax

    from genjax.evaluation.results import line, numbers
    from genjax.training.checkpoints import steps_in
    from genjax.training.follow import follow
    from genjax.training.loading import load

    if jax.process_count() > 1:
        raise UserError('--follow runs in one process')
    workdir = files.as_path(args.workdir)
    waiting = False
    while not steps_in(workdir / 'checkpoints'):
        if not waiting:
            print(f'waiting for the first checkpoint in {workdir}', flush=True)
        waiting = True
        time.sleep(args.poll)
    loader = functools.partial(load, workdir, first_stage=args.first_stage)
    evals = _evals(args, loader('latest'))
    say = functools.partial(print, flush=True)
    for step, found in follow(workdir, loader, evals, poll=args.poll, say=say):
        say(f'step {step:,}  {line(numbers(found))}')
    print(f'{workdir} has ended')


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
    args: argparse.Namespace,
    run: 'Run',
    evals: Mapping[str, 'Evaluator'],
    trials: list[dict[str, Any]],
    title: str,
) -> None:
    from genjax.evaluation.results import numbers
    from genjax.files import refuse_links, write_json
    from genjax.parallel import distributed
    from genjax.reports import curve
    from genjax.training.workdir import provenance

    # Build all before drawing from the first.
    runs = [run.with_options([*args.sampling, *trial.items()]) for trial in trials]
    rows = []
    for trial, other in zip(trials, runs, strict=True):
        rows.append((trial, numbers(other.evaluate(evals))))
        if distributed.is_first():
            print(f'{len(rows)}/{len(trials)}  {curve.line(*rows[-1])}', flush=True)
    if not distributed.is_first():
        return
    if args.out is None:
        refuse_links(run.workdir)
    name = ','.join(dict.fromkeys(field for trial in trials for field in trial))
    default = run.workdir / 'evaluations' / 'sampling' / f'{run.step}-{name}'
    out = default if args.out is None else args.out.with_suffix('')
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
    std = {} if args.ema_std is None else {'ema_std': args.ema_std}
    return {'sampling': dict(args.sampling), 'ema': args.ema, **std}


def _averaged(args: argparse.Namespace) -> bool:
    """Returns whether the variables are other ones than those of the config."""
    return args.ema is not True or args.ema_std is not None
