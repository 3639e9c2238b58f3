"""Trains the trials of a sweep in populations: batches of trials that one program trains."""

import json
import resource
import shutil

from genjax import files
from genjax.errors import UserError
from genjax.parallel.preemption import Preemption
from genjax.parallel.sharding import MeshShape
from genjax.sweeps.folder import Folder
from genjax.sweeps.sources import sources
from genjax.sweeps.trials import Trial, title
from genjax.sweeps.vectorized.grouping import populations_of, summary, varying_fields
from genjax.sweeps.vectorized.loop import PopulationLoop
from genjax.sweeps.vectorized.program import Population
from genjax.training.experiment import experiment_of
from genjax.training.programs import example_of

_MEMBERS = 'members.json'
_OFF = {'mesh': MeshShape(), 'ema_on_host': False, 'wandb': None, 'profile': None}


def run(folder: Folder, trials: list[Trial], max_parallel: int | None) -> None:
    """Trains the trials that have not ended, one population after another.

    Failed trials are not repeated: their results are deterministic.

    Args:
        folder: sweep folder with the trials recorded; no other process writes to it.
        trials: trials to run.
        max_parallel: most members per population; None: no limit.

    Raises:
        Interrupted: on Ctrl-C or SIGTERM, after the running population has been saved.
        UserError: a trial cannot be vectorized, or was begun as a run of its own; or trials failed,
            raised after all others have run.
    """
    asked = {trial.id for trial in trials}
    unfinished = [
        population
        for population in _unfinished(folder)
        if any(trial.id in asked for trial in population.trials)
    ]
    members = {trial.id for population in unfinished for trial in population.trials}
    ended = [trial for trial in trials if folder.status(trial.id) in ('complete', 'failed')]
    if ended:
        print(f'{len(ended)} of {len(trials)} trials have ended already')
    fresh = [trial for trial in trials if trial not in ended and trial.id not in members]
    for trial in fresh:
        _check(folder, trial)
    source_of = sources()
    populations = [
        *unfinished,
        *populations_of(
            fresh,
            lambda trial: example_of(source_of(trial)),
            max_parallel or len(trials),
        ),
    ]
    if populations:
        print(*summary(populations), sep='\n')
    # Each member keeps several files open.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Preemption() as interruption:
        for population in populations:
            path = folder.population(population.trials)
            ids = [trial.id for trial in population.trials]
            files.write_json(path / _MEMBERS, {'trials': ids, 'traced': population.traced})
            PopulationLoop(
                folder, population, source_of(population.trials[0]), interruption
            ).train()
            shutil.rmtree(path)
    failed = [trial for trial in trials if folder.status(trial.id) == 'failed']
    if failed:
        reason = folder.result(failed[0].id)['reason']
        raise UserError(
            f'{len(failed)} of {len(trials)} trials failed; {title(failed[0].changes)}: {reason};'
            ' --launcher=local tries them again'
        )


def programs(trials: list[Trial]) -> list[str]:
    """Lines that describe the programs that these trials need."""
    source_of = sources()
    return summary(populations_of(trials, lambda t: example_of(source_of(t)), len(trials)))


def _unfinished(folder: Folder) -> list[Population]:
    """Populations begun by an earlier start of the sweep, with all their members."""
    records = [
        json.loads(file.read_text())
        for file in sorted(folder.path.glob(f'populations/*/{_MEMBERS}'))
    ]
    trials = folder.trials() if records else {}
    populations = []
    for record in records:
        members, traced = [trials[t] for t in record['trials']], record['traced']
        if not members[0].fields.keys() >= set(traced):  # fields of older code
            traced = varying_fields(members)
        populations.append(Population(tuple(members), tuple(traced)))
    return populations


def _check(folder: Folder, trial: Trial) -> None:
    """Refuses a trial that cannot be vectorized."""
    experiment = experiment_of(trial.config)
    for name, wanted in _OFF.items():
        if getattr(experiment, name) != wanted:
            raise UserError(
                f'{title(trial.changes)}: config.{name} does not go with --launcher=vectorized'
            )
    if any(folder.workdir(trial.id).glob('checkpoints/[0-9]*')):
        raise UserError(
            f'{title(trial.changes)}: the trial was begun as a run of its own;'
            ' --launcher=local resumes it'
        )
