"""Writes metrics to `metrics.jsonl`, TensorBoard and Weights & Biases."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import SessionLog

from genjax import records
from genjax.config import trust
from genjax.errors import UserError, how_to_install
from genjax.files import appending, explained, is_remote, replacing
from genjax.training.tensorboard import EventFile


class MetricWriter:
    """Writes numbers and images by step, to every place at once.

    A resumed run repeats the steps after its checkpoint: their old records are dropped at the
    start.
    """

    def __init__(self, workdir: Path, start: int):
        """Opens the files in `workdir` for a run that starts from step `start`."""
        self._path = workdir / records.METRICS
        with explained(self._path), contextlib.ExitStack() as files:
            _keep_until(workdir, start)
            self._file = files.enter_context(appending(self._path))
            self._events = EventFile(workdir / 'tensorboard', os.getpid())
            files.callback(self._events.close)
            # Hides records of later steps by a killed process.
            self._events.write(start + 1, session_log=SessionLog(status=SessionLog.START))
            self._open = files.pop_all()
        self._wandb = None

    def log_config(self, config: object) -> None:
        """Shows the config, plain data, in TensorBoard."""
        text = json.dumps(config, indent=1).replace('\n', '\n    ')  # as code, in Markdown
        with explained(self._path):
            self._events.write(0, summary=summary.text('config', f'    {text}'))

    def log_to_wandb(self, project: str, run_id: str, config: object) -> None:
        """Also logs to a Weights & Biases run, named after the folder; a run of that id is resumed.

        Raises:
            UserError: Weights & Biases refuses, or the user is not logged in.
        """
        wandb = wandb_module()
        try:
            self._wandb = wandb.init(
                project=project,
                dir=wandb_folder(self._path.parent),
                config=config,
                id=run_id,
                name=self._path.parent.absolute().name,
                resume='allow',
            )
        except Exception as error:  # various types, of the client and the service
            raise UserError(f'config.wandb={project!r}: {error}') from error

    def __enter__(self) -> 'MetricWriter':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except UserError:
            if error is None:
                raise

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Records numbers; a non-finite one is null in the JSON lines and absent in TensorBoard."""
        self._write(step, metrics)
        if self._wandb:
            self._wandb.log(dict(metrics), step=step)

    def _write(self, step: int, metrics: Mapping[str, float]) -> None:
        with explained(self._path):
            self._file.write(_line(step, metrics).encode())
            for name, value in metrics.items():
                if math.isfinite(value):
                    self._events.write(step, summary=summary.scalar(name, value))

    def summarise(self, step: int, results: Mapping[str, float]) -> None:
        """Records the results of the final evals, perhaps of an earlier step's checkpoint; in
        Weights & Biases they go into the summary, since its steps must increase.
        """
        # A process that was killed before it stored the results may have recorded them.
        self.flush()
        if results and not records.text(self._path.parent).endswith(_line(step, results)):
            self._write(step, results)
        if results and self._wandb:
            self._wandb.summary.update(dict(results))

    def picture(self, step: int, name: str, path: Path) -> None:
        """Shows an image file in TensorBoard and Weights & Biases."""
        with path.open('rb') as file:
            pixels = np.asarray(Image.open(file).convert('RGB'))
        with explained(self._path):
            self._events.write(step, summary=summary.image(name, pixels, dataformats='HWC'))
        if self._wandb:
            self._wandb.log({name: wandb_module().Image(pixels)}, step=step)

    def flush(self) -> None:
        """Makes what was recorded visible, in a store too: before a checkpoint of the same step,
        whose run resumes with these records.
        """
        with explained(self._path):
            self._file.flush()
            self._events.flush()

    def close(self) -> None:
        """Flushes and closes all outputs."""
        with explained(self._path):
            self._open.close()
        if self._wandb:
            self._wandb.finish()


class NoMetrics(contextlib.AbstractContextManager):
    """Writer of processes that do not write, i.e. all but process 0."""

    def __exit__(self, *_: object) -> None:
        return None

    def log_config(self, config: object) -> None:
        """Does nothing, like all methods."""

    def log_to_wandb(self, project: str, run_id: str, config: object) -> None:
        """Does nothing, like all methods."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Does nothing."""

    def summarise(self, step: int, results: Mapping[str, float]) -> None:
        """Does nothing."""

    def picture(self, step: int, name: str, path: Path) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""


def _line(step: int, metrics: Mapping[str, float]) -> str:
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    return json.dumps({'step': step, **finite}) + '\n'


def wandb_module() -> ModuleType:
    """Imports Weights & Biases; raises UserError if it is not installed."""
    if not trust.is_installed('wandb'):
        raise UserError(f'config.wandb needs the wandb extra: {how_to_install("wandb")}')
    import wandb

    return wandb


def wandb_folder(workdir: Path) -> str:
    """Returns the folder on this machine in which Weights & Biases keeps its files of a run."""
    return tempfile.gettempdir() if is_remote(workdir) else str(workdir)


def _keep_until(workdir: Path, step: int) -> None:
    """Drops records of later steps and an incomplete last line; renames results of older runs."""
    for part in records.parts(workdir):
        before = part.read_text(errors='replace')
        kept = [{'step': at, **found} for at, found in records.parsed(before) if at <= step]
        after = ''.join(json.dumps(record) + '\n' for record in kept)
        if after != before:
            with replacing(part) as temporary:
                temporary.write_text(after)
