"""The `genjax` command: dispatches to a subcommand, parses its options, and maps errors to exit
codes.

Each command is a module of this package with `HELP` (one line), `add_arguments(parser)` and
`run(args)`. With `GROUPS = ('slurm',)`, `args.slurm` holds the options `--slurm.…`, as
`args.overrides` holds those of the config. `--help` imports every command: import heavy packages
(JAX, NumPy) inside `run`.
"""

import argparse
import os
import signal
import sys
import traceback
from importlib import import_module
from types import ModuleType

import genjax
from genjax.cli import process
from genjax.errors import TRACEBACK, UserError, exit_message, nearest
from genjax.parallel.preemption import SIGNALS

_PRINT = ('audit', 'report', 'plan', 'config', 'data')  # commands whose result is their output
COMMANDS = (
    'train',
    'sweep',
    'run_trial',
    'encode',
    'sample',
    'export',
    'evaluate',
    'use',
    'audit',
    'report',
    'plan',
    'config',
    'data',
)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` without abbreviations that raises `UserError` for every mistake."""

    def __init__(self, **kwargs):
        super().__init__(**{'allow_abbrev': False, **kwargs})

    def parse_known_args(self, args=None, namespace=None):
        """Parses; an unknown word is an error, also in subparsers."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition('=')[0]
            if word.startswith('-'):
                known = nearest(word, self._option_string_actions)
                self.error(f'unknown option {word}{known}')
            self.error(f'unexpected argument {word!r}')
        return namespace, unknown

    def error(self, message):
        """Raises `UserError` with the message and a pointer to `--help`."""
        raise UserError(f'{message} (see `{self.prog} --help`)')


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after `genjax`; None: those of this process.

    Returns:
        The exit status: 0; 1 without a command; 2 for a user's mistake, reported in one line; 75
        for a run stopped by a signal, which can be resumed; 73 if another process holds the folder;
        130 for Ctrl-C elsewhere; 1 for any other exception, a bug in genjax, with its traceback.
        Called without `argv`, it ends the process itself unless the status is 0. In a multi-process
        run, it returns only if all processes succeed; otherwise all end at once with such a status,
        or with 69 if one was lost.
    """
    if argv is not None:
        return _status(list(argv))
    process.own()
    try:
        status = _status(sys.argv[1:])
    except SystemExit as leaving:  # --help
        status = leaving.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    for number in SIGNALS:  # the process is ending: signals must not change its status
        signal.signal(number, signal.SIG_IGN)
    if lost := process.lost_output():
        print(f'genjax: warning: output is lost: {lost}', file=sys.stderr)
        status = status or 2 * (sys.argv[1] in _PRINT)
    if status:
        process.end(status)
    return 0


def _status(argv: list[str]) -> int:
    try:
        return _dispatch(argv)
    except BaseException as error:
        known = exit_message(error)
        if known is None:
            raise
        if os.environ.get(TRACEBACK) and isinstance(error, Exception):
            traceback.print_exception(error)
        line, status = known
        if line:
            print(line, file=sys.stderr)
        return status


def _dispatch(argv: list[str]) -> int:
    if not argv:
        _top_parser().print_help()
        return 1
    command = argv[0]
    if command.startswith('-'):  # --help and --version exit here
        _top_parser().parse_args(argv)
        raise UserError(f'no command before {command}; the commands are {", ".join(COMMANDS)}')
    if command not in COMMANDS:
        hint = nearest(command, COMMANDS)
        raise UserError(f'no command {command!r}{hint}; the commands are {", ".join(COMMANDS)}')

    module = _module(command)
    parser = Parser(prog=f'genjax {command}', description=module.HELP)
    module.add_arguments(parser)
    words, overrides = split_group(argv[1:], 'config')
    groups = {}
    for group in getattr(module, 'GROUPS', ()):
        words, groups[group] = split_group(words, group)
    args = parser.parse_args(words)
    if overrides and not hasattr(args, 'config'):
        parser.error(f'unknown option --config.{overrides[0][0]}: this command reads no config')
    vars(args).update(groups, overrides=overrides)
    if getattr(args, 'trust', None):
        from genjax.config import trust

        items = trust.parse(args.trust)
        trust.give(items)
        trust.remember(items)
    module.run(args)
    return 0


def split_group(words: list[str], group: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Splits the options of a group, e.g. config overrides, from a command line.

    Args:
        words: command-line words; `--config.a.b=4` and `--config.a.b 4` are of the group 'config'.
        group: name of the group.

    Returns:
        The other words, and the pairs ('a.b', '4') in the order given.

    Raises:
        UserError: an option of the group has no value.
    """
    others, found = [], []
    words = iter(words)
    for word in words:
        if not word.startswith(f'--{group}.'):
            others.append(word)
            continue
        field, equals, value = word.removeprefix(f'--{group}.').partition('=')
        if not equals:
            value = next(words, None)
            if value is None or value.startswith('--'):
                raise UserError(f'{word} has no value: write {word}=<value>')
        found.append((field, value))
    return others, found


def _module(command: str) -> ModuleType:
    return import_module(f'genjax.cli.{command}')


def _top_parser() -> Parser:
    width = max(map(len, COMMANDS))
    commands = ''.join(f'  {command:{width}}  {_module(command).HELP}\n' for command in COMMANDS)
    parser = Parser(
        prog='genjax',
        usage='genjax <command> [options]',
        description='Trains, samples and evaluates generative models.',
        epilog=f'commands:\n{commands}\n`genjax <command> --help` lists the options of a command.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'genjax {genjax.__version__}')
    return parser
