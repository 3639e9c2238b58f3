"""Combinators for sweeps. Each returns a list with the changes of every trial, by field:

    product({'model.beta': [0.5, 1.0]}, seeds(2))
    # [{'model.beta': 0.5, 'seed': 0}, {'model.beta': 0.5, 'seed': 1}, {'model.beta': 1.0, ...

A part is such a list, or a mapping of fields to their values. Fields without dots in their names
may be keywords as well: `product(steps=[100, 200])`. `parse` reads the same expressions from a
command line, where any field may be a keyword: `product(model.beta=[.5,1], seed=range(2))`.
"""

import ast
import builtins
import io
import itertools
import math
import tokenize
from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np

from genjax.config.types import quote_references
from genjax.errors import UserError, nearest

Sweep = list[dict[str, Any]]
"""The changes of each trial, by field."""

_LARGEST = 1_000_000  # trials of one sweep

Part = Sweep | Mapping[str, Iterable]


def product(*parts: Part, **fields: Iterable) -> Sweep:
    """Cartesian product; the last part varies fastest."""
    axes = _axes(parts, fields)
    _check_size(math.prod(map(len, axes)))
    return [_together(row) for row in itertools.product(*axes)]


def zip(*parts: Part, **fields: Iterable) -> Sweep:
    """Joins the i-th changes of all parts.

    Raises:
        UserError: the parts differ in length.
    """
    axes = _axes(parts, fields)
    lengths = [len(axis) for axis in axes]
    if len(set(lengths)) > 1:
        raise UserError(f'sweep: zip needs parts of one length, not {lengths}')
    return [_together(row) for row in builtins.zip(*axes, strict=True)]


def chain(*parts: Part, **fields: Iterable) -> Sweep:
    """Concatenates parts."""
    return [changes for axis in _axes(parts, fields) for changes in axis]


def subsample(part: Part, num: int, seed: int = 0) -> Sweep:
    """Draws `num` trials of a part without replacement, in its order.

    Raises:
        UserError: the part has fewer.
    """
    trials = product(part)
    if not 0 < num <= len(trials):
        raise UserError(f'sweep: cannot subsample {num} of {len(trials)} trials')
    chosen = np.random.default_rng(seed).choice(len(trials), num, replace=False)
    return [trials[i] for i in sorted(chosen)]


def seeds(num: int, first: int = 0) -> Sweep:
    """The field `seed` with `num` consecutive values from `first`."""
    return product(seed=range(first, first + num))


_WORDS = {word.__name__: word for word in (product, zip, chain, subsample, seeds)}


def parse(text: str) -> Sweep:
    """Parses a sweep expression, in which keywords may be field paths.

    Raises:
        UserError: the text is not a sweep.
    """
    try:
        text, paths = _without_paths(quote_references(text))
        found = _evaluate(ast.parse(text, mode='eval').body, paths)
    except UserError:
        raise
    except (SyntaxError, ValueError, TypeError, tokenize.TokenError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error.args[0]
        raise UserError(
            f'cannot read the sweep: {reason}; an example:'
            ' product(model.beta=[.5,1], seed=range(2))'
        ) from None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UserError(f'a sweep begins with one of {", ".join(_WORDS)}')
    return found


def _axes(parts: Iterable[Part], fields: Mapping[str, Iterable]) -> list[Sweep]:
    axes: list[Sweep] = []
    for part in [*parts, fields]:
        if isinstance(part, Mapping):
            for name, values in part.items():
                if isinstance(values, str) or not isinstance(values, Iterable):
                    raise UserError(f'sweep: {name} needs a list of values, not {values!r}')
                _check_size(len(values) if isinstance(values, Sized) else 0)
                axes.append([{name: value} for value in values])
        elif isinstance(part, list) and all(isinstance(row, Mapping) for row in part):
            axes.append(part)
        else:
            raise UserError(f'sweep: {part!r} is neither a sweep nor a mapping of fields')
    return axes


def _check_size(num: int) -> None:
    if num > _LARGEST:
        raise UserError(f'sweep: {num:,} trials are more than {_LARGEST:,}')


def _together(row: Iterable[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for changes in row:
        for name, value in changes.items():
            if name in merged:
                raise UserError(f'sweep: a trial sets {name} twice')
            merged[name] = value
    return merged


def _without_paths(text: str) -> tuple[str, dict[str, str]]:
    """Replaces each keyword that is a path, as in `f(a.b=1)`, by an identifier: it is not valid
    Python.
    """
    tokens = [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline)]
    paths: dict[str, str] = {}
    words: list[str] = []
    for token in tokens:
        if token == '=':
            path = ''
            while words and words[-1] not in ('(', ','):
                path = words.pop() + path
            paths[f'field{len(paths)}'] = path
            words.append(f'field{len(paths) - 1}')
        words.append(token)
    return ' '.join(words).strip(), paths


def _evaluate(node: ast.expr, paths: Mapping[str, str]) -> Any:
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise ValueError(f'{ast.unparse(node)} is not a value; put text in quotes') from None
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    words = {**_WORDS, 'range': range}
    if name not in words:
        hint = nearest(name, words)
        raise UserError(f'a sweep has no word {name!r}{hint}; the words are {", ".join(words)}')
    args = [_evaluate(arg, paths) for arg in node.args]
    fields = [paths.get(k.arg or '', k.arg) for k in node.keywords]
    for field in fields:
        if field is None or fields.count(field) > 1:
            again = f'has {field} twice' if field else 'takes fields as keywords, not as **'
            raise UserError(f'sweep: {name} {again}')
    keywords = {paths.get(k.arg or '', k.arg): _evaluate(k.value, paths) for k in node.keywords}
    return words[name](*args, **keywords)
