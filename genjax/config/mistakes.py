"""Lines of mistakes in config files."""

import ast
import inspect
import linecache
import re
import traceback
from collections.abc import Sequence
from types import FrameType

from genjax.errors import UserError, is_users, location, nearest

Step = tuple[str | int, int]
"""An argument of a call by name and position, or an item of a tuple or mapping by its key."""


def inside(error: Exception, step: Step, name: str = '') -> Exception:
    """Returns an error of a part as that of the whole; `error.path` leads to the part.

    Args:
        error: of the part.
        step: from the whole to the part.
        name: of the part, to begin the message with.
    """
    outer = type(error)(f'{name}: {error}' if name else str(error))
    outer.path = (step, *getattr(error, 'path', ()))
    return outer


def line_of(frame: FrameType, path: Sequence[Step]) -> int:
    """Returns the line of an argument, as deep as the call that a frame executes spells it out."""
    start, end, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    source = ''.join(linecache.getlines(frame.f_code.co_filename, frame.f_globals))
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # of an interactive session
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
    """Returns the line of an error that a config file led to, with the place where that is not in
    it yet: a constructor raised it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users(frame.filename)]
    if not own or any(frame.name == 'spec' for frame in frames):
        return str(error)
    return f'{location(own[-1].filename, own[-1].lineno)}: {error}'


def of_call(error: BaseException) -> str | None:
    """Returns the line of an error that a call with an unknown argument raised, with the nearest
    one; None: the error is another.
    """
    pattern = r"(\w+?)(\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
    found = re.search(pattern, str(error)) if isinstance(error, TypeError) else None
    if not found:
        return None
    name, argument = found[1], found[3]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        called = frame.f_globals.get(name)  # not in Flax, which passes the arguments on
        if callable(called):
            takes = [n for n in inspect.signature(called).parameters if n not in ('parent', 'name')]
            return (
                f'{location(frame.f_code.co_filename, line)}: {name} has no argument {argument!r}'
                f'{nearest(argument, takes)} (it takes: {", ".join(takes)})'
            )
    return None
