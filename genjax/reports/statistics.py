"""Means over seeds, and paired differences between settings over shared seeds."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import numpy as np

from genjax.reports.load import Trial

ALL_PAIRS = 8
"""Most settings to compare pairwise; more are compared with the first only."""


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds.

    Attributes:
        n: number of seeds.
        mean: mean of their values; None for n = 0.
        stderr: standard error of the mean; None for n < 2.
        low: lower end of the 95 % interval by Student's t; None for n < 2.
        high: its upper end.
    """

    n: int
    mean: float | None = None
    stderr: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Trials that differ only in the seed.

    Attributes:
        settings: values of the fields that differ between groups.
        trials: the trials.
    """

    settings: Mapping[str, Any]
    trials: list[Trial]


@dataclass(frozen=True)
class Outcome:
    """A metric of a group.

    Attributes:
        values: by seed; for a repeated seed, the mean.
        missing: trials without a value, and the reason.
        estimate: mean over the seeds.
    """

    values: Mapping[Any, float]
    missing: list[tuple[Trial, str]]
    estimate: Estimate


@dataclass(frozen=True)
class Comparison:
    """Effect of one field over the seeds of both its values: `second` minus `first`.

    Attributes:
        first: a value of the field.
        second: another.
        others: values of the other fields, equal in both; None: the mean over all of these.
        pairs: number of pairs of trials.
        estimate: mean difference, one value per seed.
    """

    first: Any
    second: Any
    others: Mapping[str, Any] | None
    pairs: int
    estimate: Estimate


def estimate(values: Iterable[float]) -> Estimate:
    """Mean and confidence interval from one value per seed.

    The t interval covers the mean of normal values with probability 95 % for any number of seeds. A
    bootstrap covers it with 50 % for 2 seeds and 77 % for 3.
    """
    x = np.asarray(list(values), float)
    if len(x) < 2:
        return Estimate(len(x), *(float(v) for v in x))
    mean, stderr = float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x)))
    half = t_quantile(len(x) - 1) * stderr
    return Estimate(len(x), mean, stderr, mean - half, mean + half)


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t: the t with P(|T| < t) = `level` for `freedom` degrees of
    freedom, as a root of its distribution (Abramowitz & Stegun, 26.7.3 and 26.7.4).
    """
    # Coefficients of cos²(θ), cos⁴(θ), … for t = √ν tan θ; those of odd ν stand after a cos θ.
    odd = freedom % 2
    factors = [(k - 1 + odd) / (k + odd) for k in range(2, freedom - 1 - odd, 2)]
    powers = np.cumprod([1.0, *factors])[: (freedom - odd) // 2]

    def within(angle: float) -> float:
        cosine = math.cos(angle)
        series = math.sin(angle) * sum(c * cosine ** (2 * i + odd) for i, c in enumerate(powers))
        return 2 * (angle + series) / math.pi if odd else series

    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def differing(trials: Sequence[Trial]) -> list[str]:
    """Fields whose values differ between trials, in the order of the config."""
    fields = dict.fromkeys(name for trial in trials for name in trial.fields)
    return [name for name in fields if len({trial.fields.get(name) for trial in trials}) > 1]


def groups_of(trials: Sequence[Trial], fields: Sequence[str]) -> list[Group]:
    """Groups trials by the values of these fields, sorted by value."""
    groups: dict[tuple, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(trial.fields.get(name) for name in fields), []).append(trial)
    return [
        Group(dict(zip(fields, values, strict=True)), groups[values])
        for values in sorted(groups, key=lambda values: [order(value) for value in values])
    ]


def order(value: Any) -> tuple:
    """Sort key for field values: numbers by size, before all others."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, '') if number else (1, 0, str(value))


def outcome(group: Group, metric: str) -> Outcome:
    """Outcome of a metric over the complete trials of a group."""
    found: dict[Any, list[float]] = {}
    missing = []
    for trial in group.trials:
        value = trial.results.get(metric)
        if trial.status != 'complete':
            missing.append((trial, trial.status))
        elif metric not in trial.results:
            missing.append((trial, 'not measured'))
        elif value is None:
            missing.append((trial, 'not finite'))
        else:
            found.setdefault(trial.seed, []).append(value)
    values = {seed: float(np.mean(several)) for seed, several in found.items()}
    return Outcome(values, missing, estimate(values.values()))


def comparisons(groups: Sequence[Group], field: str, metric: str) -> list[Comparison]:
    """Compares the values of a field, all other fields being equal.

    If the other fields vary, the mean over their values is compared too, over the seeds with a pair
    at each of them: every seed's mean is over the same settings.
    """
    found: dict[Any, dict[tuple, Mapping[Any, float]]] = {}
    for group in groups:
        others = tuple((k, v) for k, v in group.settings.items() if k != field)
        found.setdefault(group.settings[field], {})[others] = outcome(group, metric).values
    pairs = combinations(found, 2)
    if len(found) > ALL_PAIRS:
        pairs = islice(pairs, len(found) - 1)
    return [row for first, second in pairs for row in _compare(first, second, found)]


def _compare(
    first: Any, second: Any, found: Mapping[Any, Mapping[tuple, Mapping[Any, float]]]
) -> Iterator[Comparison]:
    before, after = found[first], found[second]
    differences = {
        others: {
            seed: after[others][seed] - v for seed, v in values.items() if seed in after[others]
        }
        for others, values in before.items()
        if others in after
    }
    measured = [by_seed for by_seed in differences.values() if by_seed]
    if len(measured) > 1:
        seeds = [seed for seed in measured[0] if all(seed in by_seed for by_seed in measured)]
        means = [np.mean([by_seed[seed] for by_seed in measured]) for seed in seeds]
        yield Comparison(first, second, None, len(seeds) * len(measured), estimate(means))
    for others, by_seed in differences.items():
        values = estimate(by_seed.values())
        yield Comparison(first, second, dict(others), len(by_seed), values)
