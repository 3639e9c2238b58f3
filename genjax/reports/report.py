"""Selects the runs, the results and the fields of a report."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genjax import records
from genjax.errors import UserError, nearest
from genjax.protocols import check_same
from genjax.records import shares
from genjax.reports import formatting
from genjax.reports.load import Runs, Trial, read
from genjax.reports.statistics import Group, Outcome, differing, groups_of


@dataclass(frozen=True)
class Report:
    """Content of a report, in any format.

    Attributes:
        runs: the runs read.
        metrics: names of the results to compare.
        by: fields to compare by: x axis and colour.
        fields: `by`, then all other fields but the seed that differ between trials.
        groups: trials grouped by `fields`.
    """

    runs: Runs
    metrics: list[str]
    by: list[str]
    fields: list[str]
    groups: list[Group]

    @property
    def trials(self) -> list[Trial]:
        return self.runs.trials

    @property
    def incomplete(self) -> list[Trial]:
        """Trials that are not in the means."""
        return [trial for trial in self.trials if trial.status != 'complete']

    def best(self, metric: str, outcomes: Sequence[Outcome]) -> Outcome | None:
        """Best outcome of a metric, if it is the metric that the configs call `best`."""
        named = {(_best(t), t.fields.get('best_mode')) for t in self.trials}
        found = [outcome for outcome in outcomes if outcome.values]
        best, mode = named.pop()
        if named or not found or not best or metric not in _of_best(best, self.trials):
            return None
        return (max if mode == 'max' else min)(found, key=lambda o: o.estimate.mean)

    def notes(self, metric: str) -> list[str]:
        """Text results that accompany a metric, such as its evaluation protocol."""
        prefix = metric.rpartition('/')[0] + '/'
        names = dict.fromkeys(
            name
            for trial in self.trials
            for name, value in trial.results.items()
            if isinstance(value, str) and name.startswith(prefix)
        )
        said = {
            name: dict.fromkeys(t.results[name] for t in self.trials if name in t.results)
            for name in names
        }
        return [f'{name.removeprefix(prefix)}: {"; or ".join(v)}' for name, v in said.items()]

    def title(self, trial: Trial) -> str:
        """Settings that distinguish a trial: `model.beta=0.5 seed=1`."""
        return formatting.settings(
            {name: trial.fields.get(name) for name in [*self.fields, 'seed']}
        )

    def provenance(self) -> dict[str, list[str]]:
        """Provenance of the results, from the last start of each started trial."""
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

    def time(self) -> str:
        """Returns how the trials' time was used, in words; '' if it is not recorded."""
        total: Counter[str] = Counter()
        for trial in self.trials:
            total.update(trial.uses)
        return f'Time: {shares(total)}.' if total else ''

    def counted(self) -> str:
        """Number of trials by status: `9 trials: 8 complete, 1 failed`."""
        counts = Counter(trial.status for trial in self.trials)
        parts = ', '.join(f'{number} {status}' for status, number in counts.most_common())
        return f'{len(self.trials)} trial{"s" * (len(self.trials) != 1)}: {parts}'


def make(path: Path, metrics: Sequence[str] = (), by: Sequence[str] = ()) -> Report:
    """Reads a folder and makes its report.

    Args:
        path: folder of a sweep, of sweeps, of several runs, or of one run.
        metrics: results to compare, by full name, or by the name of an eval for its first result;
            none: the `best` result of the config, or else the first.
        by: at most two fields; none: the first two that differ, or the names of runs of different
            models or data sets.

    Raises:
        UserError: there are no runs, no such metric or field, or results of different protocols.
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
    if not runs.changed and not by and {'dataset', 'model'} & {*differ}:
        # Different experiments differ in too many fields: compare them by run.
        trials = [replace(t, fields={'run': t.id, **t.fields}) for t in runs.trials]
        runs, differ = replace(runs, trials=trials), ['run']
    if 'sweep' in runs.changed and not by:
        # Sweeps differ in too many fields, too: what they set tells their trials apart.
        differ = [name for name in differ if name in runs.changed]
    # Fields set by the sweep come before fields derived from them.
    differ = [name for name in runs.changed if name in differ] + [
        name for name in differ if name not in runs.changed
    ]
    by = list(by) or differ[:2]
    fields = list(dict.fromkeys([*by, *differ]))
    chosen = list(dict.fromkeys(metrics)) or _default(runs.trials, known)
    for metric in chosen:
        name = f'{metric.rpartition("/")[0]}/protocol'
        check_same(metric, {t.id: t.results[name] for t in runs.trials if name in t.results})
    return Report(runs, chosen, by, fields, groups_of(runs.trials, fields))


def metrics_of(trials: Sequence[Trial]) -> list[str]:
    """Names of all numeric results: of final evals, of evals during training, losses, others."""
    names = dict.fromkeys(name for trial in trials for name in trial.results)
    text = {n for trial in trials for n, value in trial.results.items() if isinstance(value, str)}
    final = {name for trial in trials for name in trial.final}
    during = {name for trial in trials for name in trial.during}

    def kind(name: str) -> int:
        head = name.partition('/')[0]
        kinds = (head in final, head == 'best', head in during, name.endswith('/loss'), True)
        return kinds.index(True)

    return sorted((name for name in names if name not in text), key=kind)


def _whole(name: str, known: Sequence[str]) -> str:
    """Expands `nll` to the first result of the eval of that name, as in `Experiment.best`."""
    return records.best_result(dict.fromkeys(known), name) or name


def _best(trial: Trial) -> str | None:
    """Full name of the `best` result of a config."""
    return records.best_result(trial.results, trial.fields.get('best'))


def _of_best(best: str, trials: Sequence[Trial]) -> list[str]:
    """Names of the best result in final evals, at the best step, and at the last step."""
    last = best.rpartition('/')[2]
    final = {f'{name}/{last}': None for trial in trials for name in sorted(trial.final)}
    return [*final, f'best/{best}', best]


def _default(trials: Sequence[Trial], known: list[str]) -> list[str]:
    best = next(filter(None, map(_best, trials)), None)
    named = [name for name in _of_best(best, trials) if name in known] if best else []
    return (named or known)[:1]


def _nearest(name: str, known: Iterable[str]) -> str:
    """Like `nearest`; if the last component matches names exactly, considers only those."""
    last = re.split(r'[./]', name)[-1]
    return nearest(name, [k for k in known if re.split(r'[./]', k)[-1] == last] or known)
