"""Export of `sample` and `log_prob` as programs (`jax.export`) that need jax and numpy only."""

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.errors import UserError, how_to_install, summary
from genjax.keys import key_of
from genjax.models import conditions
from genjax.training.run import Run
from genjax.training.start import replaced
from genjax.training.weights import named

_LOADER = Path(__file__).with_name('loader.py')  # imports nothing of genjax
_BATCH = 16  # of a program that cannot be compiled for any number of rows
_PLATFORMS = ('cpu', 'cuda', 'tpu')

_README = """# {model}, step {step}

    from load import log_prob, sample          # in this folder; needs jax and numpy only

    x = sample(16, seed=0)                     # [16, *event], in the range of the data
    log_prob(x)                                # [16] in nats

A model of classes or contexts takes `label=` or `context=`.

`card.json` describes the model, its data and the programs.
"""


def write_programs(run: Run, variables: Any, folder: Path) -> Mapping[str, Any]:
    """Writes a program for each of `sample` and `log_prob` that the model has, the weights, and
    `load.py`, which runs them.

    Raises:
        UserError: the model has neither.
    """
    if importlib.util.find_spec('flatbuffers') is None:
        raise UserError(f'--format=jax needs the library flatbuffers: {how_to_install("export")}')
    arrays = {name: np.asarray(array) for name, array in named(variables).items()}
    weights = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in arrays.items()}
    programs: dict[str, Any] = {}
    given = _conditions(run.model)
    if callable(getattr(run.model, 'sample', None)):
        sample = _sample(run, variables)
        programs['sample'] = _write(folder / 'sample.jaxexport', sample, weights, given)
    if callable(getattr(run.model, 'log_prob', None)):
        x = {'x': _example(run)}
        for name, rows in {'log_prob': x, 'log_prob_given': x | given}.items():
            if (name == 'log_prob' and 'context' in given) or (name != 'log_prob' and not given):
                continue
            log_prob, kinds = _log_prob(run, variables)
            written = _write(folder / f'{name}.jaxexport', log_prob, weights, rows)
            programs[name] = {**written, **kinds}
    if not programs:
        name = type(run.model).__name__
        raise UserError(f'--format=jax: a {name} has neither sample() nor log_prob()')
    np.savez(folder / 'weights.npz', **arrays)
    shutil.copyfile(_LOADER, folder / 'load.py')
    _copy_flatbuffers(folder)
    readme = _README.format(model=type(run.model).__name__, step=run.step)
    (folder / 'README.md').write_text(readme, 'utf-8')
    return {'programs': programs, 'conditions': {n: list(shape) for n, (shape, _) in given.items()}}


def _copy_flatbuffers(folder: Path) -> None:
    """Copies the library, of Python only, that JAX reads programs with, and does not bring."""
    import flatbuffers

    (folder / 'flatbuffers').mkdir()
    for file in Path(flatbuffers.__file__).parent.glob('*.py'):
        shutil.copyfile(file, folder / 'flatbuffers' / file.name)


def _conditions(model: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of the condition of a sample, by name."""
    classes, shape = conditions.declared(model)
    if classes is not None:
        return {'label': ((), 'int32')}
    return {} if shape is None else {'context': (tuple(shape), 'float32')}


def _example(run: Run) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an example as stored."""
    from genjax.training import workdir

    shape, dtype = workdir.read(run.workdir)['example']['x']
    return tuple(shape), dtype


def _keys(seed: Array, purpose: Any, index: Array) -> Array:
    """The keys of `sampling.draw` and `sampling.apply`."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key_of(seed, purpose), index)


def _sample(run: Run, variables: Any) -> Callable:
    """Returns `(weights, seed, index [B], conditions) -> x [B, *event]`, samples by number."""

    def sample(weights: Any, seed: Array, index: Array, rows: Mapping[str, Array]) -> Array:
        filled = replaced(variables, weights)

        def one(key: Array, rows: Mapping[str, Array]) -> Array:
            given = {name: value[None] for name, value in rows.items()}
            return run.model.sample(filled, key, 1, **given)[0]

        x = jax.vmap(one)(_keys(seed, 'samples', index), rows)
        return run.experiment.preprocess.inverse(x)

    return sample


def _log_prob(run: Run, variables: Any) -> tuple[Callable, dict[str, Any]]:
    """Returns `(weights, seed, index [B], {'x': [B, *event], …}) -> [B]`, and the kind of these
    numbers, which is known once it was traced.
    """
    preprocess, kinds = run.experiment.preprocess, {}

    def log_prob(weights: Any, seed: Array, index: Array, rows: Mapping[str, Array]) -> Array:
        filled = replaced(variables, weights)

        def one(key: Array, rows: Mapping[str, Array]) -> Array:
            given = {name: value[None] for name, value in rows.items()}
            preprocess_key, key = jax.random.split(key)
            y, log_det = preprocess(given.pop('x'), preprocess_key)
            result = run.model.log_prob(filled, y, key, **given)
            kinds.update(kind=result.kind, density=result.density)
            return (result.value + log_det)[0]

        return jax.vmap(one)(_keys(seed, 'examples', index), rows)

    return log_prob, kinds


def _write(
    file: Path,
    function: Callable,
    weights: Mapping[str, Any],
    rows: Mapping[str, tuple[tuple[int, ...], str]],
) -> dict[str, Any]:
    """Exports `function(weights, seed, index [B], rows [B, ...])` for any B where that is possible,
    for all platforms where that is; returns its description.
    """

    def exported(batch: Any, platforms: tuple[str, ...]) -> Any:
        return jax.export.export(jax.jit(function), platforms=platforms)(
            weights,
            jax.ShapeDtypeStruct((), 'uint32'),
            jax.ShapeDtypeStruct((batch,), 'uint32'),
            {n: jax.ShapeDtypeStruct((batch, *shape), dtype) for n, (shape, dtype) in rows.items()},
        )

    (any_number,) = jax.export.symbolic_shape('batch')
    here = (jax.default_backend().replace('gpu', 'cuda'),)
    errors = []
    for batch, platforms in (
        (any_number, _PLATFORMS),
        (any_number, here),
        (_BATCH, _PLATFORMS),
        (_BATCH, here),
    ):
        try:
            program = exported(batch, platforms)
            break
        except UserError:
            raise
        except Exception as error:  # of any kind, by whatever primitive cannot be exported so
            errors.append(error)
    else:
        raise UserError(f'{file.stem} cannot be exported: {summary(errors[-1])}') from errors[-1]
    file.write_bytes(program.serialize())
    return {
        'batch': batch if isinstance(batch, int) else None,
        'platforms': list(program.platforms),
        'rows': {name: [dtype, list(shape)] for name, (shape, dtype) in rows.items()},
    }
