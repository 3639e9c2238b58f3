"""Results of a finished run, stored in `evaluations/<step>.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

from genjax import records
from genjax.errors import CannotWrite, plain
from genjax.evaluation.base import Evaluator, Results
from genjax.evaluation.results import line, numbers
from genjax.files import refuse_links, write_json
from genjax.parallel import distributed
from genjax.training import workdir
from genjax.training.run import Run
from genjax.training.writers import MetricWriter, NoMetrics


def finish(run: Run, writer: MetricWriter | NoMetrics) -> None:
    """Runs the final evals of a finished run, unless cached, and prints, logs and stores the
    results.
    """
    evals = run.experiment.final_evals
    results = cached = distributed.on_first(lambda: cached_results(run))
    if results is None:
        results = run.evaluate(evals)
    if not distributed.is_first():
        return
    print(f'{run.workdir} step {run.step:,}  {line(results) or "(no final evals in config.evals)"}')
    if cached is None:
        writer.summarise(run.step, numbers(results))
        keep(run, evals, results)


def keep(run: Run, evals: Mapping[str, Evaluator], results: Results) -> None:
    """Adds results of evaluators to `evaluations/<step>.json`.

    Raises:
        UserError: writing failed.
    """
    refuse_links(run.workdir)
    record, provenance = workdir.read(run.workdir), workdir.provenance()
    path = _path(run.workdir, run.step)
    try:
        path.parent.mkdir(exist_ok=True)
        with workdir.results_lock(run.workdir):
            found = stored(run.workdir, run.step) or {}
            for name, evaluator in evals.items():
                own = {n.removeprefix(f'{name}/'): v for n, v in results.items() if _of(n) == name}
                found[name] = {
                    'results': own, 'evaluator': repr(evaluator), 'provenance': provenance
                }  # fmt: skip
            content = {
                'step': run.step,
                'evals': found,
                'config': record['fingerprint'],
                'data': record['data'],
                'seed': run.experiment.seed,
            }
            write_json(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise CannotWrite(f'the results above could not be stored: {path}: {reason}') from error
    except CannotWrite as error:
        raise CannotWrite(f'the results above could not be stored: {error}') from error


def cached_results(run: Run) -> Results | None:
    """Stored results of the final evals for this step and config; None if any is missing."""
    evals, found, results = run.experiment.final_evals, stored(run.workdir, run.step), {}
    if found is None or missing(evals, found):
        return None
    for name in evals:
        kept = found[name]
        results |= {f'{name}/{result}': value for result, value in kept['results'].items()}
    return results


def missing(evals: Mapping[str, Evaluator], found: Mapping[str, dict]) -> dict[str, Evaluator]:
    """Returns the evals that have no results among those `found`, or results of another evaluator
    of the same name.
    """
    return {
        name: evaluator
        for name, evaluator in evals.items()
        if name not in found or found[name].get('evaluator', repr(evaluator)) != repr(evaluator)
    }


def stored(folder: Path, step: int) -> dict[str, dict] | None:
    """Evals in `evaluations/<step>.json` of a run by name; None if it is missing, damaged or of
    another config.
    """
    try:
        content = records.evaluation(json.loads(_path(folder, step).read_text('utf-8')))
        if content['config'] != workdir.read(folder)['fingerprint']:
            return None
        return {
            plain(name): {
                **kept,
                'results': {
                    plain(result): plain(value) if isinstance(value, str) else float(value)
                    for result, value in kept['results'].items()
                },
            }
            for name, kept in content['evals'].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _path(folder: Path, step: int) -> Path:
    return folder / records.EVALUATIONS / f'{step}.json'


def _of(name: str) -> str:
    """Name of the eval of a result."""
    return name.partition('/')[0]
