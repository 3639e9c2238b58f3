"""Checkpoints of the whole train state, by Orbax: saved asynchronously and atomically, verified
when read.
"""

import contextlib
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from genjax import records
from genjax.errors import CannotWrite, RunLocked, UserError
from genjax.files import check_owned, committed, disk_full, replacing
from genjax.parallel import distributed, preemption
from genjax.training import checksums, orbax_s3
from genjax.training.finite import first_nonfinite
from genjax.training.state import TrainState, averaged_states

_log = logging.getLogger('genjax')
_ITEM, _WINDOW = 'state', 'window'
_EVER = '.saved'  # file beside the folder: it has had a checkpoint


class Checkpoints:
    """The checkpoints of one run: the latest few and the best.

    Attributes:
        directory: their folder, with one folder per step.
    """

    def __init__(
        self,
        directory: Path,
        *,
        keep: int = 2,
        keep_every: int = 0,
        best: str | None = None,
        best_mode: str = 'min',
        read_only: bool = False,
        finite: bool = False,
    ):
        """Opens the folder.

        Args:
            directory: created if missing. Remains of interrupted saves are removed.
            keep: number of latest checkpoints to keep.
            keep_every: also keep those at multiples of this step; 0: none.
            best: result, among those given to `save`, by which the best checkpoint is also kept
                (`Experiment.best`).
            best_mode: 'min' or 'max'.
            read_only: change nothing: a run may be saving there concurrently.
            finite: refuse to save or restore a non-finite state.
        """
        self._finite = finite
        self.directory = directory.absolute()
        self._read_only = read_only
        self._best = best
        worst = math.inf if best_mode == 'min' else -math.inf

        def rank(results: Mapping[str, float]) -> float:
            value = results.get(records.best_result(results, best), worst)
            return worst if math.isnan(value) else value

        if str(directory).startswith(orbax_s3.PREFIX):
            orbax_s3.install()
        distributed.on_first(self._check_results)
        policies = [checkpoint_managers.LatestN(keep)]
        if keep_every:
            policies.append(checkpoint_managers.EveryNSteps(keep_every))
        if best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=rank,
                    reverse=best_mode == 'min',
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        # Orbax warns about the options below, and logs errors that it also raises.
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=rank if best else None,
                best_mode=best_mode,
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                create=not read_only,
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                async_options=ocp.AsyncOptions(post_finalization_callback=self._write_checksums),
            ),
            # Weights hardly compress, and on a CPU compression competes with the step for cores.
            item_handlers={
                _ITEM: ocp.PyTreeCheckpointHandler(use_compression=False),
                _WINDOW: ocp.JsonCheckpointHandler(),
            },
        )

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except UserError as failure:
            if error is None:
                raise
            if str(failure) != str(error):  # closing may report a failed save again
                _log.warning('%s', failure)  # show the error that ended the run last

    @property
    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, as seen by process 0."""
        return distributed.on_first(lambda: sorted(self._manager.all_steps()))

    @property
    def best_step(self) -> int | None:
        """Step with the best result; None if no result is tracked or saved."""
        return distributed.on_first(self._manager.best_step) if self._best else None

    def save(
        self,
        step: int,
        state: Any,
        results: Mapping[str, float] | None = None,
        window: Any = None,
    ) -> None:
        """Starts an asynchronous save. An existing checkpoint of the step is kept; only missing
        results are added.

        Args:
            step: completed steps.
            state: the train state.
            results: results of evaluations at this step, by name.
            window: JSON data returned by `window`.

        Raises:
            UserError: the state is not finite; or this or the previous save failed, e.g. because
                the disk is full.
        """
        if self._finite and (bad := first_nonfinite(state)):
            raise UserError(
                f'step {step}: {bad} is not finite, and is not saved; checkpoints from before are'
                ' kept. Try a smaller learning rate or config.clip_norm'
            )
        if records.best_result(results or {}, self._best) is None:
            results = None  # not used for ranking
        if step in self._manager.all_steps():
            if results and self._best:
                distributed.on_first(lambda: self._add_results(step, results))
                self._manager.reload()
            return
        with self._failures():
            check_owned(self.directory)
            args = {_ITEM: ocp.args.PyTreeSave(state), _WINDOW: ocp.args.JsonSave(window or {})}
            metrics = checksums.sealed(results) if results else None
            self._manager.save(step, args=ocp.args.Composite(**args), metrics=metrics)
        self._mark()

    def _add_results(self, step: int, results: Mapping[str, float]) -> None:
        """Adds results to a checkpoint without any, in Orbax's format."""
        if self._manager.metrics(step):
            return
        file = self.directory / str(step) / 'metrics' / 'metrics'
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(checksums.sealed(results)))

    def wait(self) -> None:
        """Waits for the last save; raises UserError if it failed."""
        with self._failures():
            self._manager.wait_until_finished()
            self._mark()

    def window(self, step: int) -> Any:
        """`window` saved with a step that has been restored."""
        file = self.directory / str(step) / _WINDOW / 'metadata'
        return distributed.on_first(lambda: json.loads(file.read_text()) if file.exists() else {})

    def close(self) -> None:
        """Waits like `wait`, then closes the folder."""
        with self._failures():
            self._manager.close()

    def restore(self, target: Any, step: int | None = None) -> tuple[int, Any] | None:
        """Restores the state of `step`, or of the latest readable step.

        Args:
            target: the state as `jax.ShapeDtypeStruct`s with shardings, which may differ from
                those it was saved with.
            step: the step to restore, without a fallback if it is damaged; None: the latest.

        Returns:
            The step and its state; None if there is no checkpoint.

        Raises:
            UserError: all checkpoints are damaged; or an intact one cannot be read, or does not fit
                `target`.
        """
        steps = self.steps
        if step is not None and step not in steps:
            raise UserError(f'{self.directory} has no step {step}; it has {steps}')
        damaged: dict[int, str] = {}
        for candidate in [step] if step is not None else reversed(steps):
            folder = self.directory / str(candidate)
            if wrong := distributed.on_first(lambda folder=folder: checksums.damage(folder)):
                damaged[candidate] = wrong
                continue
            try:
                state = self._read(candidate, target)
            except Exception as e:
                if preemption.came():  # interrupted
                    raise KeyboardInterrupt from e
                raise UserError(
                    f'cannot restore {folder}, whose files are what was saved: {_first_line(e)}'
                ) from e
            if self._finite and (bad := first_nonfinite(state)):
                damaged[candidate] = f'{bad} is not finite'
                continue
            distributed.on_first(lambda: self._set_all_aside(damaged))
            self._manager.reload()
            return candidate, state
        if damaged:
            newest, error = next(iter(damaged.items()))
            which = 'no checkpoint' if step is None else f'not step {newest}'
            raise UserError(f'{which} in {self.directory} can be read; step {newest}: {error}')
        return None

    def part(self, step: int, target: Mapping[str, Any]) -> Any:
        """Restores fields of the state of a step, by name, as `restore` does the whole."""
        folder = self.directory / str(step)
        if wrong := distributed.on_first(lambda: checksums.damage(folder)):
            raise UserError(f'the checkpoint {folder} is damaged: {wrong}')
        return self._read_as_is(step, target, partial_restore=True)

    def _read(self, step: int, target: Any) -> Any:
        if isinstance(target, TrainState):
            names = self._manager.item_metadata(step)[_ITEM].tree
            if 'ema_state' not in names:  # older runs: averages used the current model state
                state = self._read_as_is(step, {name: getattr(target, name) for name in names})
                averages = averaged_states(state['variables'], len(state['ema']))
                return TrainState(**state, ema_state=averages)
        return self._read_as_is(step, target)

    def _read_as_is(self, step: int, target: Any, **options: Any) -> Any:
        placed = ocp.checkpoint_utils.construct_restore_args(target)
        args = ocp.args.PyTreeRestore(target, restore_args=placed, **options)
        state = self._manager.restore(step, args=ocp.args.Composite(**{_ITEM: args}))[_ITEM]
        # Orbax restores whatever it finds: without its metadata, a key becomes plain integers.
        for wanted, found in zip(jax.tree.leaves(target), jax.tree.leaves(state), strict=True):
            if (wanted.shape, wanted.dtype) != (found.shape, found.dtype):
                raise ValueError(
                    f'expected {wanted.dtype}{wanted.shape}, found {found.dtype}{found.shape}'
                )
        return state

    def _check_results(self) -> None:
        """Sets aside checkpoints with damaged results: Orbax reads all results when it opens the
        folder, and would fail.
        """
        for file in self.directory.glob('[0-9]*/metrics/metrics'):
            try:
                checksums.check_results(file)
            except ValueError as error:
                if self._read_only:
                    raise UserError(f'{file} is damaged: {error}') from None
                self._set_aside(int(file.parts[-3]), f'{file.name}: {error}')

    def _set_all_aside(self, damaged: Mapping[int, str]) -> None:
        for step, error in damaged.items():
            self._set_aside(step, error)

    def _set_aside(self, step: int, error: str) -> None:
        """Renames a damaged checkpoint, so that its step can be saved again."""
        moved = ''
        if not self._read_only:
            folder = self.directory.with_name('damaged_checkpoints')
            folder.mkdir(exist_ok=True)
            aside = folder / f'{step}-{time.time_ns()}'
            (self.directory / str(step)).rename(aside)
            moved = f'; it is now {aside}'
        _log.warning(
            'the checkpoint of step %s is damaged (%s) and an older one is used%s',
            step, error, moved,
        )  # fmt: skip

    def _write_checksums(self) -> None:
        """Called by Orbax at the end of a save, before the final rename."""
        for folder in set(self.directory.glob('*')) - committed(self.directory):
            checksums.write(folder, int(folder.name.partition('.')[0]))

    def _mark(self) -> None:
        """Records that a complete checkpoint has existed."""
        if distributed.is_first() and steps_in(self.directory):
            (self.directory.parent / _EVER).touch()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns any failure of a save into a one-line error."""
        try:
            yield
        except Exception as error:
            complete = steps_in(self.directory)
            kept = f'step {complete[-1]} is the last one' if complete else 'there is none yet'
            if isinstance(error, RunLocked):
                raise
            why = 'the disk is full' if disk_full(error) else _first_line(error)
            raise CannotWrite(
                f'cannot save a checkpoint to {self.directory}: {why}; {kept}'
            ) from error


def steps_in(directory: Path) -> list[int]:
    """Steps with a complete checkpoint, damaged or not."""
    return sorted(int(path.name) for path in committed(directory) if path.name.isdecimal())


def gone(directory: Path) -> bool:
    """Returns whether checkpoints existed but are missing now."""
    workdir = directory.parent
    removed = bool(records.parts(workdir)) and not directory.exists()
    return not steps_in(directory) and (removed or (workdir / _EVER).exists())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:160]}'
