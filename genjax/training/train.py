"""Training from Python."""

from pathlib import Path

from ml_collections import ConfigDict

from genjax import config as configs
from genjax.files import as_path
from genjax.training import loading as runs
from genjax.training import loop
from genjax.training.experiment import Experiment
from genjax.training.run import Run


def train(
    config: ConfigDict | Experiment, workdir: str | Path, branch_from: str | None = None
) -> Run:
    """Trains an experiment, from the latest checkpoint in `workdir` or from scratch, and returns
    the run at its best checkpoint.

    Args:
        config: an experiment, or the config of one.
        workdir: run folder.
        branch_from: another run, `RUN` or `RUN@STEP`, whose state initialises a new one.

    Raises:
        UserError: the config, the data or the folder is invalid, or training diverged.
    """
    loop.train(configs.as_config(config), as_path(workdir), branch_from=branch_from)
    return runs.load(workdir)
