"""`genjax sweep`: runs an experiment for every trial of a sweep."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from genjax import files
from genjax.cli import runtime
from genjax.errors import UserError, nearest

if TYPE_CHECKING:
    from genjax.sweeps.folder import Folder
    from genjax.sweeps.trials import Trial

HELP = 'run an experiment for every trial of a sweep'
GROUPS = ('slurm', 'jobset')

Lock = tuple[int, ...]
"""Descriptors that hold the lock of the folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config',
        type=files.local,
        required=True,
        metavar='FILE',
        help='a file with get_config(), and sweep() where --sweep is not given',
    )
    parser.add_argument(
        '--sweep',
        metavar='WORDS',
        help="such as 'product(model.beta=[.5,1], seed=range(4))'; combinators: product, zip,"
        ' chain, subsample and seeds',
    )
    parser.add_argument(
        '--workdir', type=files.workdir, required=True, metavar='DIR',
        help='folder of the sweep; an existing sweep is resumed'
    )  # fmt: skip
    parser.add_argument(
        '--check', action='store_true', help='check all trials and list them; run none'
    )
    parser.add_argument(
        '--launcher', default='local', metavar='NAME',
        help='local: one process per trial, on a share of the cores and GPUs (the default);'
        ' vectorized: one program trains all trials that differ only in numbers; slurm: submits a'
        ' job array, with --slurm.partition=gpu and any other option of sbatch; jobset: writes a'
        ' Kubernetes JobSet for each trial, with --jobset.image=… and so on; print: the command of'
        ' each trial; @module.function: your own, called with the folder, the trials and'
        ' max_parallel (docs/sweeps.md)',
    )  # fmt: skip
    parser.add_argument(
        '--max_parallel', type=int, metavar='N',
        help='trials at a time (default: 1 for local and slurm, all for vectorized)',
    )  # fmt: skip
    parser.add_argument('--out', type=files.local, metavar='DIR', help='output folder for JobSets')
    parser.add_argument(
        '--template',
        metavar='FILE',
        help='default: launch/slurm.sh or launch/jobset.yaml',
    )
    runtime.add_trust(parser)


def run(args: argparse.Namespace) -> None:
    """Checks all trials, then launches the incomplete ones."""
    launch, takes = _launcher(args.launcher)
    for option in sorted(set().union(*(names for _, names in LAUNCHERS.values())) - takes):
        if getattr(args, option):
            name = f'{option}.{getattr(args, option)[0][0]}' if option in GROUPS else option
            raise UserError(f'--launcher={args.launcher} takes no --{name}')
    if args.launcher in ('vectorized', 'slurm') and files.is_remote(args.workdir):
        raise UserError(
            f'--launcher={args.launcher} needs a --workdir of this machine, not {args.workdir}:'
            ' local, jobset and print do not'
        )
    if args.max_parallel is not None and args.max_parallel < 1:
        raise UserError(f'--max_parallel={args.max_parallel} must be at least 1')
    if args.template and not Path(args.template).is_file():
        raise UserError(f'there is no template {args.template!r}')

    import jax

    from genjax import config

    runtime.prepare()
    if args.launcher != 'vectorized':
        jax.config.update('jax_platforms', 'cpu')  # leave accelerators to the trials
    elif 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
        # One CPU device per core, with members of its own, is faster than all cores on one member.
        jax.config.update('jax_num_cpu_devices', os.cpu_count())
    from genjax.sweeps import combinators
    from genjax.sweeps.check import check
    from genjax.sweeps.folder import Folder
    from genjax.sweeps.trials import title, trials_of

    otherwise = ': write it, or say --sweep=…'
    if args.sweep is None:
        sweep = config.call(args.config, 'sweep', otherwise)
    else:
        sweep = combinators.parse(args.sweep)
    trials = trials_of(config.load(args.config, args.overrides), sweep)
    launch = launch or _imported(args.launcher)
    if args.launcher != 'print':
        print(f'checking {len(trials)} trials', flush=True)
    check(trials, elsewhere=args.launcher not in ('local', 'vectorized'))
    folder = Folder(files.as_path(args.workdir))
    trials = folder.known(trials)
    if args.check:
        folder.before(args.config)
        for trial in trials:
            print(f'{trial.id}  {title(trial.changes)}')
        if args.launcher == 'vectorized':
            from genjax.sweeps import vectorized

            print(*vectorized.programs(trials), sep='\n')
        return
    with folder.locked() as lock:
        folder.add(args.config, trials)
        launch(folder, trials, args, lock)


def _launcher(name: str) -> tuple[Callable | None, set[str]]:
    """Returns the launch function (None: to be imported) and its options."""
    if name.startswith('@'):
        return None, {'max_parallel'}
    if name not in LAUNCHERS:
        known, hint = ', '.join(LAUNCHERS), nearest(name, LAUNCHERS)
        raise UserError(f'--launcher={name} is none of {known} and @module.function{hint}')
    return LAUNCHERS[name]


def _imported(name: str) -> Callable:
    """Imports a launcher like a config file: from the folder of the config or the current one."""
    from genjax.config import trust

    trust.name(name)
    function = trust.import_path(name.removeprefix('@'))
    return lambda folder, trials, args, _: function(folder, trials, args.max_parallel)


def _local(folder: 'Folder', trials: 'list[Trial]', args: argparse.Namespace, lock: Lock) -> None:
    from genjax.sweeps import local

    local.run(folder, trials, args.max_parallel or 1, lock)


def _vectorized(folder: 'Folder', trials: 'list[Trial]', args: argparse.Namespace, _: Lock) -> None:
    from genjax.sweeps import vectorized

    vectorized.run(folder, trials, args.max_parallel)


def _slurm(folder: 'Folder', trials: 'list[Trial]', args: argparse.Namespace, _: Lock) -> None:
    from genjax.sweeps import slurm, templates

    script = Path(args.template or templates.template('slurm.sh'))
    slurm.submit(folder, trials, args.max_parallel or 1, args.slurm, script)


def _jobset(folder: 'Folder', trials: 'list[Trial]', args: argparse.Namespace, _: Lock) -> None:
    from genjax.sweeps import jobset, templates

    if not args.out:
        raise UserError('--launcher=jobset needs --out=DIR, where it writes the JobSets')
    template = Path(args.template or templates.template('jobset.yaml'))
    jobset.write(folder, trials, Path(args.out), dict(args.jobset), template)


def _print(folder: 'Folder', trials: 'list[Trial]', *_: object) -> None:
    from genjax.sweeps.trial import command

    for trial in folder.incomplete(trials):
        print(command(folder, trial))


# Launchers and their options.
LAUNCHERS = {
    'local': (_local, {'max_parallel'}),
    'vectorized': (_vectorized, {'max_parallel'}),
    'slurm': (_slurm, {'max_parallel', 'template', 'slurm'}),
    'jobset': (_jobset, {'out', 'template', 'jobset'}),
    'print': (_print, set()),
}
