"""`genjax sweep`: runs an experiment for every trial of a sweep."""

import argparse

from genjax.errors import UserError

HELP = 'run an experiment for every trial of a sweep'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `sweep`."""
    parser.add_argument(
        '--config',
        required=True,
        metavar='FILE',
        help='a file with get_config(), and sweep() where --sweep is not given',
    )
    parser.add_argument(
        '--sweep',
        metavar='WORDS',
        help="such as 'product(model.beta=[.5,1], seed=range(4))'; the words are product, zip,"
        ' chain, subsample and seeds',
    )
    parser.add_argument(
        '--workdir', required=True, metavar='DIR', help='where the sweep is kept and resumed from'
    )
    parser.add_argument(
        '--launcher',
        choices=('local', 'vectorized'),
        default='local',
        help='local: a process for each trial, on its share of the cores and GPUs (the default);'
        ' vectorized: one program trains all trials that differ only in numbers',
    )
    parser.add_argument(
        '--max_parallel', type=int, metavar='N',
        help='trials at a time (default: 1 for local, all for vectorized)',
    )  # fmt: skip
    parser.add_argument(
        '--check', action='store_true', help='check all trials and list them; run none'
    )


def run(args: argparse.Namespace) -> None:
    """Checks all trials, then runs those that are not complete."""
    from pathlib import Path

    import jax

    from genjax import config
    from genjax.cli import runtime

    if args.max_parallel is not None and args.max_parallel < 1:
        raise UserError(f'--max_parallel={args.max_parallel} must be at least 1')
    runtime.prepare()
    if args.launcher != 'vectorized':
        jax.config.update('jax_platforms', 'cpu')  # an accelerator is for the trials
    from genjax.sweeps import local, vectorized, words
    from genjax.sweeps.folder import Folder
    from genjax.sweeps.trial import title
    from genjax.sweeps.trials import check, trials_of

    sweep = words.parse(args.sweep) if args.sweep else config.call(args.config, 'sweep')
    trials = trials_of(config.load(args.config, args.overrides), sweep)
    check(trials)
    if args.check:
        for trial in trials:
            print(f'{trial.id}  {title(trial.changes)}')
        return
    folder = Folder(Path(args.workdir))
    with folder.locked() as lock:
        folder.add(args.config, trials)
        if args.launcher == 'vectorized':
            vectorized.run(folder, trials, args.max_parallel)
        else:
            local.run(folder, trials, args.max_parallel or 1, lock)
