"""Locates errors in config files by line."""

import ast
import inspect
import linecache
import re
import traceback
from collections.abc import Sequence
from types import FrameType

from genjax.errors import UserError, is_users, location, nearest

Step = tuple[str | int, int]
"""Step into a part: an argument by name and position, or an item of a tuple or mapping by key."""


def inside(error: Exception, step: Step, name: str = '') -> Exception:
    """Turns an error of a part into one of the whole; `error.path` leads to the part.

    Args:
        error: error of the part.
        step: step from the whole to the part.
        name: name of the part, to prefix the message.
    """
    outer = type(error)(f'{name}: {error}' if name else str(error))
    outer.path = (step, *getattr(error, 'path', ()))
    return outer


def line_of(frame: FrameType, path: Sequence[Step]) -> int:
    """Returns the line of an argument in the call that a frame executes, following `path` as far as
    the call is written out.
    """
    start, end, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    source = ''.join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # in an interactive session
        calls = []
    for call in calls:
        if (call.lineno, call.end_lineno, call.col_offset) == (start, end, column):
            return _innermost(call, path).lineno
    return frame.f_lineno


def _innermost(node: ast.expr, path: Sequence[Step]) -> ast.expr:
    for name, position in path:
        found = None
        if isinstance(node, ast.Call):
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            shift = ast.unparse(node.func).split('.')[-1] == 'spec'
            args = dict(enumerate(node.args, -shift))
            found = named.get(name, args.get(position))
        elif isinstance(node, ast.Tuple | ast.List) and isinstance(name, int):
            found = dict(enumerate(node.elts)).get(name)
        elif isinstance(node, ast.Dict):
            keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
            found = dict(zip(keys, node.values, strict=True)).get(name)
        if found is None:
            break
        node = found
    return node


def located(error: UserError) -> str:
    """Returns the message of an error in a config file, prefixed with its location if missing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users(frame.filename)]
    if not own or any(frame.name == 'spec' for frame in frames):
        return str(error)
    return f'{location(own[-1].filename, own[-1].lineno)}: {error}'


def of_call(error: BaseException) -> str | None:
    """Returns a message for a call with an unknown argument, with the nearest name; None for other
    errors.
    """
    pattern = r"(\w+?)(\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
    found = re.search(pattern, str(error)) if isinstance(error, TypeError) else None
    if not found:
        return None
    name, argument = found[1], found[3]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        called = frame.f_globals.get(name)  # unless raised inside Flax, which forwards arguments
        if callable(called):
            takes = [n for n in inspect.signature(called).parameters if n not in ('parent', 'name')]
            return (
                f'{location(frame.f_code.co_filename, line)}: {name} has no argument {argument!r}'
                f'{nearest(argument, takes)} (it takes: {", ".join(takes)})'
            )
    return None
