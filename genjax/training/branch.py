"""Starts a run from the state of another one, with any config."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.files import anywhere, as_path
from genjax.training import loading as runs
from genjax.training import workdir
from genjax.training.programs import Programs
from genjax.training.state import TrainState

_SHOWN = 3  # names of arrays per message


@dataclass(frozen=True)
class Origin:
    """Checkpoint from which a run branches.

    Attributes:
        run: folder of the other run.
        step: its checkpoint: 'latest', 'best' or a step.
    """

    run: Path
    step: str = 'latest'

    @classmethod
    def parse(cls, text: str) -> 'Origin':
        """Parses `RUN` or `RUN@STEP`; raises UserError if there is no such run."""
        text = anywhere(text)
        folder, at, step = text.rpartition('@')
        if not at or (as_path(text) / workdir.CONFIG).exists():
            folder, step = text, 'latest'
        workdir.read(as_path(folder))
        return cls(as_path(folder), step)

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> 'Origin | None':
        """Returns the branch of a run that was killed before its first checkpoint."""
        return cls(as_path(record['run']), str(record['step'])) if record else None


def branch(
    origin: Origin, programs: Programs, first: TrainState, seed: int, decays: tuple[float, ...]
) -> tuple[TrainState, dict[str, Any]]:
    """Copies from another run what fits: its step, parameters and model state by array, the
    optimizer state of each phase as a whole, the averages by decay. The rest is taken from `first`.

    Args:
        origin: the other run.
        programs: programs of this run.
        first: its initial state; donated.
        seed: its seed; if it differs from that of the other run, so does the noise.
        decays: decays of its averages.

    Returns:
        The state, and a record of the branch.

    Raises:
        UserError: there is no such run or checkpoint, or none of its parameters fit.
    """
    run = runs.load(origin.run, origin.step)
    old, fresh = run.state, []

    def take(new: Any, found: Any, name: str, otherwise: Callable[[str], Any] | None = None) -> Any:
        """Takes matching arrays by name."""
        leaves = {jax.tree_util.keystr(p): x for p, x in jax.tree.leaves_with_path(found)}

        def choose(path: Any, array: Array) -> Array:
            key = jax.tree_util.keystr(path)
            other = leaves.get(key)
            if _fits(array, other):
                return other
            fresh.append(name + key)
            return otherwise(key) if otherwise else array

        return jax.tree_util.tree_map_with_path(choose, new)

    variables = {
        kind: take(first.variables[kind], old.variables[kind], kind) for kind in first.variables
    }
    count = len(jax.tree.leaves(variables['params']))
    if len([name for name in fresh if name.startswith('params')]) == count:
        raise UserError(
            f'--branch_from={origin.run}: no parameter of that run has the name, shape and type of'
            ' one of this config'
        )
    opt_state = {}
    for phase, state in first.opt_state.items():
        opt_state[phase] = old.opt_state.get(phase)
        if not _all_fit(state, opt_state[phase]):
            opt_state[phase] = state
            fresh.append(f'optimizer of {phase}')

    def averages(kind: str, old: tuple[Any, ...], first: tuple[Any, ...]) -> tuple[Any, ...]:
        """Averages with the same decays, or copies of the averaged values."""
        now = {jax.tree_util.keystr(p): x for p, x in jax.tree.leaves_with_path(variables[kind])}
        found = dict(zip(run.experiment.ema, old, strict=True))
        return tuple(
            take(new, found.get(decay), f'ema {decay} of {kind}', lambda key: jnp.copy(now[key]))
            for decay, new in zip(decays, first, strict=True)
        )

    ema = averages('params', old.ema, first.ema)
    ema_state = averages('state', old.ema_state, first.ema_state)
    key = old.key if seed == run.experiment.seed else first.key
    state = TrainState(old.step, variables, opt_state, ema, ema_state, key)
    state = jax.device_put(state, jax.tree.map(lambda a: a.sharding, programs.state))
    record = workdir.read(origin.run)
    return state, {
        'run': str(origin.run.absolute()),
        **{name: record[name] for name in ('id', 'config', 'fingerprint', 'data')},
        'step': run.step,
        'fresh': fresh,
    }


def line(record: Mapping[str, Any]) -> str:
    """Describes a branch in one line."""
    fresh = record['fresh']
    more = f' and {len(fresh) - _SHOWN} more' if len(fresh) > _SHOWN else ''
    begun = f'; begun anew: {", ".join(fresh[:_SHOWN])}{more}' if fresh else ''
    return f'branched from step {record["step"]:,} of {record["run"]}{begun}'


def _fits(new: Array, found: Any) -> bool:
    return found is not None and (new.shape, new.dtype) == (found.shape, found.dtype)


def _all_fit(new: Any, found: Any) -> bool:
    if found is None or jax.tree.structure(new) != jax.tree.structure(found):
        return False
    return all(map(_fits, jax.tree.leaves(new), jax.tree.leaves(found)))
