"""Trials of a sweep, all resolved before the first starts."""

import functools
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError
from genjax.sweeps.combinators import Sweep

_LARGEST = 10_000


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        id: prefix of the hash of its full config; independent of the other trials.
        changes: fields set by the sweep.
        config: full config.
    """

    id: str
    changes: dict[str, Any]
    config: ConfigDict

    @functools.cached_property
    def fields(self) -> dict[str, Any]:
        """Fields of the full config, by path."""
        return dict(configs.leaves(self.config))


def trials_of(base: ConfigDict, sweep: Sweep) -> list[Trial]:
    """Resolves every trial.

    Raises:
        UserError: not a sweep, a change does not fit the config, or two trials are equal; names the
            trial.
    """
    if not isinstance(sweep, list) or not all(isinstance(changes, dict) for changes in sweep):
        raise UserError(f'sweep() must return product(…) or another word, not {sweep!r}')
    if len(sweep) > _LARGEST:
        raise UserError(
            f'the sweep has {len(sweep):,} trials, more than {_LARGEST:,};'
            ' subsample(…, num) chooses some'
        )
    trials: dict[str, Trial] = {}
    for number, changes in enumerate(sweep):
        try:
            config = configs.with_fields(base, changes)
        except UserError as error:
            raise UserError(f'trial {number} ({title(changes)}): {error}') from None
        trial = Trial(configs.fingerprint(config)[:10], changes, config)
        if trial.id in trials:
            first = list(trials).index(trial.id)
            raise UserError(f'trials {first} and {number} ({title(changes)}) are the same')
        trials[trial.id] = trial
    if not trials:
        raise UserError('the sweep has no trials')
    return list(trials.values())


def title(changes: dict[str, Any]) -> str:
    """Formats the changes of a trial: `model.beta=0.5 seed=1`."""

    def shown(value: Any) -> Any:
        return configs.to_json(value) if isinstance(value, ConfigDict) else value

    return ' '.join(f'{name}={shown(value)}' for name, value in changes.items())
