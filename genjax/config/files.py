"""Config files: Python or JSON files that define an experiment."""

import importlib.util
import inspect
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from genjax.config import origin, trust
from genjax.config.fields import check_complete, from_json, override
from genjax.config.mistakes import located, of_call
from genjax.config.references import copied
from genjax.config.signatures import hints_of
from genjax.config.specs import TARGET
from genjax.config.types import parse
from genjax.errors import UserError, location, nearest, of_user, summary
from genjax.files import as_path


def load(path: str, overrides: typing.Iterable[tuple[str, str]] = ()) -> ConfigDict:
    """Runs `get_config()` of a config file and applies `(dotted path, text)` overrides.

    `file.py:argument` calls `get_config('argument')`, with the argument parsed as its declared
    type, such as `Literal['small', 'full']`. A `.json` file is the output of `to_json`, or the
    `config.json` of a run.

    Raises:
        UserError: a missing or failing file, or an override that does not fit.
    """
    config = _load_json(path) if path.endswith('.json') else call(path, 'get_config')
    if not isinstance(config, ConfigDict) or TARGET not in config:
        raise UserError(f'{_split(path)[0]}: get_config() must return spec(Experiment, ...)')
    config = copied(config)  # unshare parts: setting a field must not change others
    for name, text in overrides:
        override(config, name, text)
    check_complete(config)
    return config


def call(path: str, function: str, otherwise: str = '') -> Any:
    """Runs a config file and returns the result of one of its functions, called with the argument
    in `file.py:argument` if any. The file may import modules of its folder and the current one,
    except names of installed packages.

    Args:
        path: path of the file, perhaps with an argument.
        function: name of the function.
        otherwise: alternative to suggest if the file has no such function.

    Raises:
        UserError: the file is missing, fails or lacks the function; names the line.
    """
    file, argument = _split(path)
    if not Path(file).is_file():
        raise UserError(f'there is no config file {file!r}{_nearest_file(Path(file))}')
    if Path(file).suffix != '.py':
        raise UserError(f'{file} is not a config file: its name ends in .py, or in .json')
    origin.set_file(file, argument)
    for folder in origin.current()['path']:
        trust.on_path(folder)
    try:
        module_spec = importlib.util.spec_from_file_location('genjax_config_file', file)
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        if not hasattr(module, function):
            raise UserError(f'{file} has no function {function}(){otherwise}')
        called = getattr(module, function)
        return called(*_arguments(called, path, argument))
    except UserError as e:
        raise UserError(located(e)) from None
    except (Exception, SystemExit) as e:
        line = of_call(e) or of_user(e)
        line = line or f'{location(file, getattr(e, "lineno", None) or 1)}: {summary(e)}'
        raise UserError(line) from e


def _arguments(function: Callable, path: str, text: str) -> list[Any]:
    """Parses the argument in `file.py:argument` as the type that the function declares."""
    if not text:
        return []
    names = list(inspect.signature(function).parameters)
    if not names:
        raise UserError(f'{path}: {function.__name__}() takes no argument')
    try:
        return [parse(text, hints_of(function).get(names[0], str))]
    except (TypeError, ValueError) as e:
        raise UserError(f'{path}: {names[0]}: {e}') from None


def _nearest_file(file: Path) -> str:
    """Suggests a similar file beside it or, if the folder is missing, in a similar folder."""
    folder = file.parent
    if not folder.is_dir():
        folders = [str(f) for f in folder.parent.glob('*') if f.is_dir()]
        return nearest(str(folder), folders)
    others = [str(folder / f.name) for f in folder.iterdir() if f.suffix in ('.py', '.json')]
    return nearest(str(file), others)


def _load_json(file: str) -> Any:
    try:
        data = json.loads(as_path(file).read_text())
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f'cannot read {file}: {e}') from None
    config, found = origin.parts(data)
    origin.set(found)
    return from_json(config, origin.folders(found))


def _split(path: str) -> tuple[str, str]:
    """Splits `file.py:argument`; the file name may contain colons."""
    ends = [len(path), *(i for i in range(len(path) - 1, 0, -1) if path[i] == ':')]
    end = next((i for i in ends if Path(path[:i]).is_file()), None)
    if end is None:
        file, _, argument = path.partition('.py:')
        return (f'{file}.py', argument) if argument else (path, '')
    return path[:end], path[end + 1 :]
