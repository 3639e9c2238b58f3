"""Warm start: initial parameters from another run or from a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError, described, nearest
from genjax.files import absolute, anywhere, as_path
from genjax.training.frozen import check_patterns, path_of

if TYPE_CHECKING:
    from genjax.training.weights import Weights

_SHOWN = 10  # arrays that do not fit, per message


@dataclass(frozen=True)
class Start:
    """Initial parameters and model state from another run or a file, of what has the same path
    there.

    The source is read once, before the first step; a run that resumes does not need it. Averages
    begin with the parameters. What is selected has to be in the source, with the same shape; floats
    of another precision are converted. Several starts are applied in order.

    Attributes:
        path: a run folder, a safetensors file, a folder with a `model.safetensors`, such as `genjax
            export` writes, or the folder of a U-Net or DiT of diffusers.
        groups: groups to start, by name, and their names in the source: `{'encoder': 'encoder'}`;
            also paths further inside, `{'encoder/network': 'decoder'}`. Empty: all, by their names.
        match: regular expression; only what matches as a whole is started. Paths are those in this
            run: `encoder/Dense_0/kernel`, and `encoder/batch_stats/…` of model state.
        step: checkpoint of a run: 'best', 'latest' or a number.
        ema: weights of a run: True: its first average, if any; False: as trained; or an average,
            as in `genjax.load`.
    """

    path: str
    groups: Mapping[str, str] = field(default_factory=dict)
    match: str = '.*'
    step: str | int = 'best'
    ema: bool | float = True

    PATHS: ClassVar[tuple[str, ...]] = ('path',)

    def __post_init__(self):
        anywhere(self.path)
        check_patterns('match', [self.match])

    @property
    def absolute(self) -> str:
        """The path, independent of the current folder."""
        return absolute(self.path)

    def select(self, variables: Any, source: 'Weights') -> dict[str, np.ndarray]:
        """Returns arrays for (abstract) variables, by name, `params/…` and `state/…`.

        Raises:
            UserError: nothing is selected, or arrays are missing or do not fit.
        """
        here = {path_of(path): leaf for path, leaf in jax.tree.leaves_with_path(variables)}
        self._check_groups(here, source)
        chosen = {
            name: there
            for name in here
            if (there := self._name_there(name)) and re.fullmatch(self.match, _inside(name))
        }
        if not chosen:
            hint = nearest(self.match, map(_inside, here))
            raise UserError(f'match={self.match!r} matches no parameter{hint}')
        wrong = [
            line
            for name, there in chosen.items()
            if (line := _misfit(name, here[name], there, source.arrays.get(there)))
        ]
        if wrong:
            more = f'; and {len(wrong) - _SHOWN} more' if len(wrong) > _SHOWN else ''
            raise UserError(
                f'{len(wrong)} arrays of {source.provenance["name"]} do not fit:'
                f' {"; ".join(wrong[:_SHOWN])}{more}. `match` can leave them out'
            )
        return {
            name: np.asarray(source.arrays[there], here[name].dtype)
            for name, there in chosen.items()
        }

    def _name_there(self, name: str) -> str | None:
        """Name in the source of an array of this run; None if it is not to be started."""
        if not self.groups:
            return name
        kind, path = name.split('/', 1)
        prefixes = [group for group in self.groups if _is_in(path, group)]
        if not prefixes:
            return None
        longest = max(prefixes, key=len)
        return f'{kind}/{self.groups[longest]}{path.removeprefix(longest)}'

    def _check_groups(self, here: Mapping[str, Any], source: 'Weights') -> None:
        for names, arrays, where in (
            (self.groups, here, 'this model'),
            (self.groups.values(), source.arrays, source.provenance['name']),
        ):
            paths = [_inside(name) for name in arrays]
            for group in names:
                if not any(_is_in(path, group) for path in paths):
                    groups = dict.fromkeys(path.split('/')[0] for path in paths)
                    raise UserError(
                        f'groups: {where} has no {group!r}{nearest(group, [*groups, *paths])}'
                        f' (its groups are {", ".join(groups)})'
                    )


def replaced(variables: Any, arrays: Mapping[str, Array]) -> Any:
    """Returns the variables with other arrays in some places, by name."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: arrays.get(path_of(path), leaf), variables
    )


def placed(arrays: Mapping[str, np.ndarray], variables: Any) -> dict[str, Array]:
    """Transfers arrays, by name, to the devices of the variables, `jax.ShapeDtypeStruct`s with
    shardings.
    """
    leaves = {path_of(path): leaf for path, leaf in jax.tree.leaves_with_path(variables)}
    return {name: jax.device_put(array, leaves[name].sharding) for name, array in arrays.items()}


def read(
    starts: tuple[Start, ...], model: Any, variables: Any
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Reads the sources of starts.

    Args:
        starts: the starts, `Experiment.start`.
        model: the model, whose networks diffusers may have too.
        variables: initial variables, or their shapes.

    Returns:
        The arrays to start from, on the host, by name, and a record of each source.

    Raises:
        UserError: a source cannot be read, or does not fit.
    """
    arrays, records = {}, []
    for number, start in enumerate(starts):
        source = _source(number, start, model, variables['params'])
        try:
            found = start.select(variables, source)
        except UserError as error:
            raise UserError(f'config.start[{number}]: {error}') from None
        arrays |= found
        records.append({**source.provenance, 'path': start.absolute, 'arrays': len(found)})
    return arrays, records


def check(
    starts: tuple[Start, ...], model: Any, params: Any, records: list[dict[str, Any]]
) -> None:
    """Compares the sources of a run that resumes with those that it began with. A source is read
    only if its path is another one; it need not be there any more.

    Raises:
        UserError: a source has other weights.
    """
    for number, (start, record) in enumerate(zip(starts, records, strict=True)):
        if start.absolute == record['path'] or not as_path(start.absolute).exists():
            continue
        if _source(number, start, model, params).provenance['fingerprint'] != record['fingerprint']:
            raise UserError(
                f'config.start[{number}].path={start.path!r} has other weights than the run began'
                f' with, {record["name"]}; choose another --workdir'
            )


def _source(number: int, start: Start, model: Any, params: Any) -> 'Weights':
    from genjax.training import weights  # loads runs, whose experiments have starts

    try:
        networks = weights.convertible(model, params)
        return weights.read(as_path(anywhere(start.path)), start.step, start.ema, networks)
    except UserError as error:
        raise UserError(f'config.start[{number}]: {error}') from None


def _inside(name: str) -> str:
    """Path within params or state."""
    return name.partition('/')[2]


def _is_in(path: str, group: str) -> bool:
    return path == group or path.startswith(f'{group}/')


def _misfit(name: str, wanted: Any, there: str, found: Any) -> str | None:
    """Says how an array does not fit; None if it does."""
    if found is None:
        return f'{_inside(name)}: there is no {_inside(there)}'
    floats = all(jnp.issubdtype(a.dtype, jnp.floating) for a in (wanted, found))
    if found.shape == wanted.shape and (floats or found.dtype == wanted.dtype):
        return None
    return f'{_inside(name)} is {described(wanted)}, and {described(found)} there'
