"""Training loop of a population: one step program; records and events per member."""

import contextlib
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from genjax.data.pipeline import Batch, train_batches
from genjax.data.sources import Source
from genjax.errors import CannotWrite, Interrupted, UserError, line_of, summary
from genjax.models.base import num_params
from genjax.parallel import sharding
from genjax.parallel.preemption import Preemption, Stop
from genjax.records import shares
from genjax.schedules import at_step
from genjax.sweeps.folder import Folder
from genjax.sweeps.trials import title
from genjax.sweeps.vectorized.member import Member
from genjax.sweeps.vectorized.program import Population, PopulationPrograms, PopulationState
from genjax.training import start as starts
from genjax.training.checkpoints import Checkpoints
from genjax.training.events import Events
from genjax.training.prefetch import feed
from genjax.training.programs import abstract_state, example_of
from genjax.training.progress import Progress
from genjax.training.state import TrainState
from genjax.training.timesheet import Timesheet


class PopulationLoop:
    """Trains a population from its latest checkpoint, or from scratch, until all members have
    ended.

    A member ends at the last step, early (`Experiment.patience`), or on an error of its own, such
    as a non-finite loss. Its result is recorded at once, and the others continue. The population's
    checkpoints serve only to resume; those of a member, at its evals and its end, are in its run
    folder.
    """

    def __init__(
        self, folder: Folder, population: Population, source: Source, interruption: Preemption
    ):
        """Traces the programs for the devices of this process."""
        self._folder, self._population, self._source = folder, population, source
        self._interruption = interruption
        self._path = folder.population(population.trials)
        self._timesheet = Timesheet(self._path, time.time())
        self._example = example_of(source)
        devices = jax.devices()
        self._programs = PopulationPrograms(population, self._example, devices)
        self._experiment = population.experiments[0]
        # Evaluates members. On CPU, a single device then uses all cores.
        is_cpu = devices[0].platform == 'cpu'
        self._mesh = self._experiment.mesh.make(devices[:1] if is_cpu else devices)
        self._take = jax.jit(lambda train, index: jax.tree.map(lambda a: a[index], train))
        self._members: dict[int, Member] = {}  # members that have not ended
        self._pending: tuple[int, Mapping[str, Array]] | None = None
        self._since = time.monotonic()

    def train(self) -> None:
        """Trains; raises Interrupted on Ctrl-C or SIGTERM, after saving."""
        population, experiment = self._population, self._experiment
        with (
            Checkpoints(self._path / 'checkpoints', keep=experiment.keep) as checkpoints,
            contextlib.ExitStack() as held,
        ):
            restored = checkpoints.restore(self._programs.state.train)
            step, train, sources = (*restored, []) if restored else self._first()
            self._open(held, step, checkpoints.window(step), sources)
            progress = held.enter_context(Progress(step, experiment.steps))
            progress.say(
                f'{len(self._members)} of {len(population.trials)} members of'
                f' {num_params(train.variables) // self._programs.size:,} parameters,'
                f' {self._programs.mesh.size} device(s), from step {step:,} to {experiment.steps:,}'
            )
            try:
                self._events(step, train, progress, Events.left)
                state = PopulationState(train, self._going())
                batches = feed(self._batches(step), self._programs.batch_sharding, experiment.calls)
                self._timesheet.switch('compile')
                while self._members:
                    count = len(self._members)
                    running = self._pending[1] if self._pending else {}
                    with self._timesheet.waiting_for_data(running):
                        batch = next(batches)
                    state, metrics = self._programs.step(self._programs.values, state, batch)
                    step += experiment.calls
                    self._timesheet.step(step)
                    self._push((step, metrics), progress)
                    self._interruption.sync_point()
                    if due := self._due(step):
                        self._push(None, progress)
                        if 'checkpoint' in due:
                            with self._timesheet.used_for('checkpoint'):
                                checkpoints.save(step, state.train, window=self._windows())
                        self._events(step, state.train, progress, Events.due)
                    if len(self._members) < count:
                        state = state.replace(going=self._going())
                with self._timesheet.used_for('checkpoint'):
                    checkpoints.wait()
                self._interruption.saved()
                self._account(step)
            except Stop:
                self._push(None, progress)
                with self._timesheet.used_for('checkpoint'):
                    checkpoints.save(step, state.train, window=self._windows())
                    checkpoints.wait()
                self._account(step)
                for index in list(self._members):
                    self._end(index, 'stopped')
                raise Interrupted(
                    f'{self._interruption.reason}: saved step {step:,} of {experiment.steps:,} of'
                    f' {len(population.trials)} trials; the same command resumes from there'
                ) from None

    def _first(self) -> tuple[int, TrainState, list[dict[str, Any]]]:
        """Step 0, the initial state, and records of the sources that it starts from."""
        programs, experiment = self._programs, self._experiment
        one = abstract_state(experiment, self._example, self._mesh).variables
        arrays, sources = starts.read(experiment.start, at_step(experiment.model, 0), one)
        arrays = jax.device_put(arrays, sharding.replicated(programs.mesh))
        stacked = sharding.place(next(self._batches(0)), programs.members)
        with self._timesheet.used_for('compile'):
            return 0, programs.init(programs.values, stacked, arrays), sources

    def _account(self, step: int) -> None:
        """Keeps what the time was used for, in equal shares of all members, and prints it."""
        self._timesheet.write(step, now=True)
        self._timesheet.divide([self._folder.workdir(t.id) for t in self._population.trials])
        print(shares(self._timesheet.seconds))

    def _windows(self) -> dict[str, Any]:
        return {m.trial.id: dict(m.means.window) for m in self._members.values()}

    def _open(
        self,
        held: contextlib.ExitStack,
        step: int,
        windows: Mapping[str, Any],
        sources: list[dict[str, Any]],
    ) -> None:
        """Opens the run folder of each active member; `sources` are those that it starts from."""
        population = self._population
        for index, (trial, experiment) in enumerate(
            zip(population.trials, population.experiments, strict=True)
        ):
            if self._folder.status(trial.id) in ('complete', 'failed'):
                continue
            self._members[index] = member = Member(
                trial, experiment, self._folder.workdir(trial.id), step,
                self._source, self._example, self._mesh, windows.get(trial.id, {}), sources,
                self._timesheet,
            )  # fmt: skip
            held.callback(member.close)
        self._share = 1 / max(len(self._members), 1)

    def _going(self) -> Array:
        going = [index in self._members for index in range(self._programs.size)]
        return jax.device_put(np.asarray(going), self._programs.members)

    def _batches(self, step: int) -> Iterator[Batch]:
        """Batches [members, rows, ...] from `step` on; members with the same seed share theirs."""
        experiments = self._population.experiments
        seeds = [experiment.seed for experiment in experiments]
        seeds += seeds[:1] * (self._programs.size - len(seeds))
        streams = {
            seed: train_batches(
                self._source, batch_size=self._experiment.rows_per_step, seed=seed, start=step
            )
            for seed in dict.fromkeys(seeds)
        }
        while True:
            batches = {seed: next(stream) for seed, stream in streams.items()}
            yield {
                name: np.stack([batches[seed][name] for seed in seeds])
                for name in batches[seeds[0]]
            }

    def _due(self, step: int) -> set[str]:
        """Events due at a step, the same for all active members."""
        return next((m.events.due(step) for m in self._members.values()), set())

    def _push(self, call: tuple[int, Mapping[str, Array]] | None, progress: Progress) -> None:
        """Queues the metrics of a call, and records those of the call before, which has finished by
        now.
        """
        before, self._pending = self._pending, call
        if before is None:
            if call:  # not timed: it compiled, or followed events
                progress.restart_clock(call[0])
            return
        step, metrics = before[0], jax.device_get(before[1])
        means = {}
        for index, member in list(self._members.items()):
            own = {name: np.atleast_1d(values[index]) for name, values in metrics.items()}
            with self._ending_alone(index):
                means[index] = member.means.add(step, own)
        means = {index: found for index, found in means.items() if found is not None}
        if not means:
            return
        names = next(iter(means.values()))
        medians = {name: statistics.median(m[name] for m in means.values()) for name in names}
        skipped = sum(member.means.skipped for member in self._members.values())
        rate = progress.update(step, medians, skipped)
        speed = {'steps_per_second': rate, 'goodput': self._timesheet.goodput}
        self._timesheet.write(step)
        for index, found in means.items():
            member = self._members[index]
            member.writer.write(step, {**found, **member.rates(step), **speed})

    def _events(
        self,
        step: int,
        train: TrainState,
        progress: Progress,
        what: Callable[[Events, int], set[str]],
    ) -> None:
        """Runs the due events of each member, and ends those at their last step."""
        for index, member in list(self._members.items()):
            with self._ending_alone(index):
                due = what(member.events, step)
                if not due and not member.events.ended(step):
                    continue
                own = self._take(train, np.int32(index))
                own = jax.device_put(own, sharding.replicated(self._mesh))
                member.hold(due, step, own, progress)
                if member.events.ended(step):
                    member.finish(step, own)
                    self._end(index, 'complete')

    @contextlib.contextmanager
    def _ending_alone(self, index: int) -> Iterator[None]:
        """Confines an error to one member, which ends; a full disk ends all, to be resumed."""
        try:
            yield
        except CannotWrite:
            raise
        except UserError as error:
            self._end(index, 'failed', str(error))
        except Exception as error:  # e.g. in a user's evaluator
            log = self._folder.log(self._members[index].trial.id)
            log.parent.mkdir(exist_ok=True)
            log.write_text(traceback.format_exc())
            self._end(index, 'failed', f'{line_of(error) or summary(error)} ({log})')

    def _end(self, index: int, status: str, reason: str = '') -> None:
        member = self._members.pop(index)
        member.close()
        trial, seconds = member.trial, (time.monotonic() - self._since) * self._share
        self._folder.end(trial.id, status, reason, seconds)
        if status == 'failed':
            print(f'{trial.id} {title(trial.changes)}: failed: {reason}')
