"""Writes a Kubernetes JobSet for each trial of a sweep."""

from pathlib import Path
from string import Template

from genjax import files
from genjax.errors import UserError, nearest
from genjax.sweeps.folder import Folder
from genjax.sweeps.trial import command
from genjax.sweeps.trials import Trial


def write(
    folder: Folder, trials: list[Trial], out: Path, fields: dict[str, str], template: Path
) -> None:
    """Writes `ID.yaml` for each incomplete trial, and removes those of the others.

    Args:
        folder: sweep folder with the trials recorded; mounted in the pods under the same path.
        trials: trials to run.
        out: output folder.
        fields: values for the names in the template.
        template: `launch/jobset.yaml` or a copy of it.

    Raises:
        UserError: a name is missing in the template or in `fields`, or the template has a stray $.
    """
    text = Template(template.read_text())
    if not text.is_valid():
        raise UserError(f'{template}: write $$ for each $ that begins no field')
    names = [name for name in text.get_identifiers() if name not in ('name', 'command')]
    for name in fields:
        if name not in names:
            raise UserError(f'{template} has no field {name!r}{nearest(name, names)}')
    if missing := [name for name in names if name not in fields]:
        raise UserError(f'{template} needs --jobset.{"=…, --jobset.".join(missing)}=…')
    waiting = {trial.id for trial in folder.incomplete(trials)}
    for trial in trials:
        path = out / f'{trial.id}.yaml'
        if trial.id not in waiting:
            path.unlink(missing_ok=True)
            continue
        known = {'name': f'genjax-{trial.id}', 'command': command(folder, trial, 'genjax')}
        with files.replacing(path) as temporary:
            temporary.write_text(text.substitute(fields, **known))
    print(
        f'{len(trials) - len(waiting)} of {len(trials)} trials are complete;'
        f' wrote {len(waiting)} JobSets: kubectl apply -f {out}'
    )
