"""Runs evaluators on splits of the data."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genjax.data.pipeline import eval_batches
from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset
from genjax.errors import UserError, described, plain
from genjax.evaluation.base import EvaluationData, Evaluator, Results
from genjax.keys import key_of
from genjax.models.base import GenerativeModel, Variables
from genjax.parallel import distributed, preemption, sharding


def evaluate(
    evals: Mapping[str, Evaluator],
    model: GenerativeModel,
    variables: Variables,
    dataset: Dataset,
    preprocess: Chain,
    *,
    mesh: Mesh,
    seed: int = 0,
) -> Results:
    """Runs evaluators, each on its split.

    Args:
        evals: the evaluators by name.
        model: the model.
        variables: its parameters and state, on the devices of `mesh`.
        dataset: the data set.
        preprocess: maps data to the model's input.
        mesh: devices over which batches are sharded.
        seed: random seed; all evaluators get the same key.

    Returns:
        Numbers and texts, named `<eval name>/<result>`.

    Raises:
        UserError: an evaluator does not fit the model or the data, or returns other values.
    """
    key, results, shared = key_of(seed, 'evaluation'), {}, {}
    for name, evaluator in evals.items():
        batches = functools.partial(_batches, dataset, evaluator.split, mesh)
        data = EvaluationData(dataset, evaluator.split, batches, preprocess, seed, shared)
        found = _checked(evaluator, evaluator(model, variables, data, key))
        results |= {f'{name}/{result}': value for result, value in found.items()}
    return results


def numbers(results: Results) -> dict[str, float]:
    """The numeric results."""
    return {name: value for name, value in results.items() if not isinstance(value, str)}


def line(results: Results) -> str:
    """Formats results in one line."""
    return '  '.join(
        f'{name} {value if isinstance(value, str) else format(value, ".5g")}'
        for name, value in results.items()
    )


def show(results: Results, title: str) -> None:
    """Prints results as a table."""
    table = Table()
    table.add_column('result')
    table.add_column('value')
    for name, value in results.items():
        shown = value if isinstance(value, str) else f'{value:.4f}'.rstrip('0').rstrip('.')
        table.add_row(Text(plain(name)), Text(plain(shown)))  # no rich markup
    print(title)
    Console(highlight=False).print(table)


def _batches(dataset: Dataset, split: str, mesh: Mesh, size: int) -> Iterator[dict[str, jax.Array]]:
    shares = sharding.num_shares(mesh)
    whole = -(-size // shares) * shares
    layout = sharding.rows(mesh)
    rows = distributed.local_rows(layout, whole)
    source = dataset.source(split)
    for batch in eval_batches(source, batch_size=size, rows=rows, filled_to=whole):
        yield sharding.place(batch, layout)
        preemption.sync_point()


def _checked(evaluator: Evaluator, results: Any) -> Results:
    """Returns results with their numbers as floats; raises UserError unless they are a dict of
    numbers and texts.
    """
    where = type(evaluator).__name__
    if not isinstance(results, Mapping):
        raise UserError(f'{where} must return a dict of results, not {described(results)}')
    checked = {}
    for name, value in results.items():
        is_number = isinstance(value, int | float) or (
            hasattr(value, 'dtype') and np.shape(value) == () and value.dtype.kind in 'biuf'
        )
        if not isinstance(name, str) or not (is_number or isinstance(value, str)):
            raise UserError(
                f'{where} must return numbers and texts by name, and {name!r} is {described(value)}'
            )
        checked[name] = value if isinstance(value, str) else float(value)
    return checked
