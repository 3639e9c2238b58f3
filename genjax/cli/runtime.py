"""Process setup shared by all commands that use JAX."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from genjax import files
from genjax.errors import UserError
from genjax.parallel.cluster import detect_cluster
from genjax.parallel.preemption import Preemption

if TYPE_CHECKING:
    from genjax.training.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options for multi-process runs."""
    group = parser.add_argument_group(
        'many processes',
        'Each is started with the same command. Under Slurm, on TPU VMs, and where'
        ' JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID (or JOB_COMPLETION_INDEX)'
        ' are set they find each other; elsewhere the first three options tell.',
    )
    group.add_argument('--coordinator', metavar='HOST:PORT', help='address of process 0')
    group.add_argument('--num_processes', type=int, metavar='N', help='number of processes')
    group.add_argument('--process_id', type=int, metavar='I', help='which one this is, from 0')
    group.add_argument(
        '--start_timeout', type=float, default=300, metavar='SECONDS',
        help='time to wait for all processes (default 300)',
    )  # fmt: skip
    group.add_argument(
        '--heartbeat', type=float, default=100, metavar='SECONDS',
        help='silence after which a process counts as lost (default 100)',
    )  # fmt: skip


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds the options of commands that load a run, except `--sampling.…`."""
    parser.add_argument(
        '--workdir',
        type=files.workdir,
        required=True,
        metavar='DIR',
        help='the folder of the run',
    )
    parser.add_argument(
        '--step', default='best', help="a step, 'latest', or 'best' (default; by the run's config)"
    )
    parser.add_argument(
        '--ema', type=_ema, default=True, metavar='DECAY',
        help="use the average of this decay, or 'none' (default: the first average, if any)",
    )  # fmt: skip
    parser.add_argument(
        '--ema_std', type=float, metavar='STD',
        help='use the average PowerEMA(STD), from those in the checkpoints up to the step',
    )  # fmt: skip
    parser.epilog = (
        'Sampling options are fields: --sampling.steps=10 --sampling.guide.weight=3'
        ' (`genjax config` lists those of a model).'
    )
    add_first_stage(parser)
    add_trust(parser)


def _ema(text: str) -> bool | float:
    return False if text == 'none' else float(text)


def load_run(args: argparse.Namespace) -> 'Run':
    """Loads the run given by the options of `add_run`."""
    from genjax.training.averages import PowerEMA
    from genjax.training.loading import load

    ema = args.ema
    if args.ema_std is not None:
        if ema is not True:
            raise UserError('--ema_std does not go with --ema: give one of the two')
        ema = PowerEMA(args.ema_std)
    return load(
        args.workdir,
        args.step,
        ema=ema,
        first_stage=args.first_stage,
        sampling=args.sampling,
    )


def add_first_stage(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the first stage of a latent model."""
    parser.add_argument(
        '--first_stage', type=files.anywhere, metavar='DIR',
        help="the folder of the run of a latent model's first stage, if that was moved alone",
    )  # fmt: skip


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust`, for commands that read a config."""
    parser.add_argument(
        '--trust', action='append', default=[], metavar='WHAT',
        help='a package, a module or a folder of modules that configs may name beside genjax, flax'
        ' and optax, now and later: its code will be run (SECURITY.md)',
    )  # fmt: skip


@contextlib.contextmanager
def computing(args: argparse.Namespace, interruption: Preemption | None = None) -> Iterator[None]:
    """Context of a command that uses JAX: process setup, and connection to the run's other
    processes.

    Args:
        args: parsed options of the command.
        interruption: preemption handler, shared by all processes.

    Raises:
        PeerLost: some processes did not connect.
        UserError: the processes' options disagree.
        Interrupted: a process was stopped while connecting.
    """
    for name in ('start_timeout', 'heartbeat'):
        if not getattr(args, name) >= 1:
            raise UserError(f'--{name}={getattr(args, name):g} must be at least 1')
    prepare()
    from genjax.parallel import distributed

    place = detect_cluster(args.coordinator, args.num_processes, args.process_id)
    with distributed.together(
        place, interruption, heartbeat=args.heartbeat, timeout=args.start_timeout
    ):
        yield


def prepare() -> None:
    """Formats genjax's warnings as lines, silences other libraries' logs, enables the compilation
    cache; on a CPU, makes the allocator keep freed memory.
    """
    import jax

    from genjax.hardware.allocator import keep_freed_memory

    if _on_cpu():
        keep_freed_memory()

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('genjax: %(levelname)s: %(message)s'))
    logging.addLevelName(logging.WARNING, 'warning')
    logging.getLogger('genjax').handlers = [handler]
    logging.getLogger('genjax').propagate = False
    # Orbax logs a traceback for errors it also raises; silence the log.
    for name in ('absl', 'asyncio'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    if jax.config.jax_compilation_cache_dir is None:
        home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
        folder = os.path.join(home, 'genjax', 'xla')
        with contextlib.suppress(OSError):  # no cache without a home folder that can be written
            if not home.startswith('~'):
                os.makedirs(folder, exist_ok=True)
                jax.config.update('jax_compilation_cache_dir', folder)
        # The default skips programs that compile within a second; small models have many of them.
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def _on_cpu() -> bool:
    """Returns whether JAX will compute on the CPU, by its configuration and the packages that there
    are: to ask JAX would start the backend, before the processes of a run have met.
    """
    import jax

    platforms = jax.config.jax_platforms
    if platforms:
        return platforms == 'cpu'
    return not entry_points(group='jax_plugins') and find_spec('libtpu') is None


_unraisable_before = sys.unraisablehook


def _unraisable(found: 'sys.UnraisableHookArgs') -> None:
    # After a failed save (e.g. a full disk), TensorStore's threads still report other writes to
    # Orbax's closed event loop. Ctrl-C inside a destructor is unraisable, but already recorded.
    loop_is_gone = str(found.exc_value) == 'Event loop is closed'
    if not loop_is_gone and not isinstance(found.exc_value, KeyboardInterrupt):
        _unraisable_before(found)
