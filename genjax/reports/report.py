"""What a report is about: which runs, which figures, and the fields to compare them by."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genjax.errors import UserError, nearest
from genjax.reports import formatting
from genjax.reports.load import Runs, Trial, read
from genjax.reports.statistics import Group, Outcome, differing, groups_of


@dataclass(frozen=True)
class Report:
    """The content of every format.

    Attributes:
        runs: what was read.
        metrics: the names of the figures to compare.
        by: the fields to compare them by: the first is the x axis, the second the colour.
        fields: all fields but the seed that differ between trials or are in `by`; these first.
        groups: the trials that agree in `fields`.
    """

    runs: Runs
    metrics: list[str]
    by: list[str]
    fields: list[str]
    groups: list[Group]

    @property
    def trials(self) -> list[Trial]:
        """All trials."""
        return self.runs.trials

    @property
    def incomplete(self) -> list[Trial]:
        """The trials that are in no mean."""
        return [trial for trial in self.trials if trial.status != 'complete']

    def best(self, metric: str, outcomes: Sequence[Outcome]) -> Outcome | None:
        """The best of the outcomes of a metric, if it is what the configs call best."""
        named = {(t.fields.get('best'), t.fields.get('best_mode')) for t in self.trials}
        found = [outcome for outcome in outcomes if outcome.values]
        figure, mode = named.pop()
        if named or not found or not figure or not metric.endswith(f'/{figure}'):
            return None
        return (max if mode == 'max' else min)(found, key=lambda o: o.estimate.mean)

    def notes(self, metric: str) -> list[str]:
        """What the evaluator says of a test figure in words, such as its protocol."""
        prefix = metric.rpartition('/')[0] + '/'
        names = dict.fromkeys(
            name
            for trial in self.trials
            for name, value in trial.figures.items()
            if isinstance(value, str) and name.startswith(prefix)
        )
        said = {
            name: dict.fromkeys(t.figures[name] for t in self.trials if name in t.figures)
            for name in names
        }
        return [f'{name.removeprefix(prefix)}: {"; or ".join(v)}' for name, v in said.items()]

    def title(self, trial: Trial) -> str:
        """What tells a trial from the others: `model.beta=0.5 seed=1`."""
        return formatting.settings(
            {name: trial.fields.get(name) for name in [*self.fields, 'seed']}
        )

    def provenance(self) -> dict[str, list[str]]:
        """What the results depend on: for each trial that has begun, by its last start."""
        begun = [trial for trial in self.trials if trial.starts]
        last = [trial.starts[-1] for trial in begun]
        packages = dict.fromkeys(name for start in last for name in start['packages'])
        return {
            'commit': [start['commit'] or 'none' for start in last],
            'commit of the config': [start['config commit'] or 'none' for start in last],
            'data': [trial.data for trial in begun],
            'devices': [start['devices'] for start in last],
            'genjax': [start['genjax'] for start in last],
            'python': [start['python'] for start in last],
            **{name: [start['packages'].get(name, 'none') for start in last] for name in packages},
        }

    def counted(self) -> str:
        """How many trials there are, by status: `9 trials: 8 complete, 1 failed`."""
        counts = Counter(trial.status for trial in self.trials)
        parts = ', '.join(f'{number} {status}' for status, number in counts.most_common())
        return f'{len(self.trials)} trial{"s" * (len(self.trials) != 1)}: {parts}'


def make(path: Path, metrics: Sequence[str] = (), by: Sequence[str] = ()) -> Report:
    """Reads a folder.

    Args:
        path: of a sweep, of several runs, or of one.
        metrics: to compare, whole or by their first and last parts; none: the figure that the
            config calls best, or else the first.
        by: at most two fields; none: the first two that differ.

    Raises:
        UserError: there are no runs, or no such metric or field.
    """
    runs = read(path)
    known = metrics_of(runs.trials)
    metrics = [_whole(name, known) for name in metrics]
    for name in metrics:
        if name not in known:
            raise UserError(
                f'no run in {path} has the metric {name!r}{_nearest(name, known)}; they have'
                f' {", ".join(known) or "none yet"}'
            )
    paths = dict.fromkeys(name for trial in runs.trials for name in trial.fields)
    for name in by:
        if name not in paths:
            raise UserError(f'--by: the configs have no field {name!r}{_nearest(name, paths)}')
    if len(set(by)) != len(by) or len(by) > 2 or 'seed' in by:
        raise UserError('--by: at most two different fields, and not the seed')
    differ = [name for name in differing(runs.trials) if name != 'seed']
    # What the sweep sets stands before what follows from it.
    differ = [name for name in runs.changed if name in differ] + [
        name for name in differ if name not in runs.changed
    ]
    by = list(by) or differ[:2]
    fields = list(dict.fromkeys([*by, *differ]))
    chosen = list(dict.fromkeys(metrics)) or _default(runs.trials, known)
    return Report(runs, chosen, by, fields, groups_of(runs.trials, fields))


def metrics_of(trials: Sequence[Trial]) -> list[str]:
    """The names of all figures that are numbers: of the test, of validation, losses, others."""
    names = dict.fromkeys(name for trial in trials for name in trial.figures)
    text = {n for trial in trials for n, value in trial.figures.items() if isinstance(value, str)}
    kinds = re.compile(r'(test/)|(best/)|(validation/)|(.*/loss$)|')
    return sorted((n for n in names if n not in text), key=lambda n: kinds.match(n).lastindex or 9)


def _whole(name: str, known: Sequence[str]) -> str:
    """`test/nll` is short for `test/likelihood/nll` where no other metric could be meant."""
    ends = name.split('/')
    meant = [n for n in known if [n.split('/')[0], n.split('/')[-1]] == ends]
    return meant[0] if name not in known and len(meant) == 1 else name


def _default(trials: Sequence[Trial], known: list[str]) -> list[str]:
    best = next((trial.fields['best'] for trial in trials if trial.fields.get('best')), None)
    named = [name for name in (f'test/{best}', f'best/validation/{best}') if name in known]
    return (named or known)[:1]


def _nearest(name: str, known: Iterable[str]) -> str:
    """Like `nearest`, but where the last word is right only the names that end with it count."""
    last = re.split(r'[./]', name)[-1]
    return nearest(name, [k for k in known if re.split(r'[./]', k)[-1] == last] or known)
