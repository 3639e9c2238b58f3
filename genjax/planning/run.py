"""Plans in a subprocess, whose environment selects the devices to compile for."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from genjax import config as configs
from genjax.errors import UserError
from genjax.planning import topology

_SIGKILL = 9


def run(
    config: ConfigDict,
    where: topology.Topology,
    program: str = 'train',
    search: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Plans a config; for the result, see `__main__` and `plan.Plan.as_json`.

    Args:
        config: config of an experiment.
        where: devices to plan for.
        program: one of `programs.PROGRAMS`.
        search: rank arrangements of the devices in place of planning this one.
        quick: reduce the compiler's optimisation: several times faster, with the same transfers and
            slightly different temporaries.

    Raises:
        UserError: the config cannot be planned, or the compiler is missing or was killed.
    """
    environment = dict(topology.environment(where))
    if quick or search:
        environment['JAX_OPTIMIZATION_LEVEL'] = 'O1'
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, 'request.json'), Path(folder, 'answer.json')
        content = {
            'config': configs.to_json(config),
            'path': configs.trust.folders(),
            'topology': where.name,
            'slices': where.slices,
            'program': program,
            'search': search,
        }
        request.write_text(json.dumps(content))
        with Path(folder, 'stderr').open('w+') as errors:
            process = subprocess.Popen(
                [sys.executable, '-P', '-m', 'genjax.planning', str(request), str(answer)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            with process:
                for line in process.stdout:  # progress of a search
                    print(line, end='', file=sys.stderr)
            code = process.returncode
            errors.seek(0)
            said = errors.read()
        if code == -_SIGKILL:
            raise UserError('the compiler was killed: this machine has too little memory for it')
        if code:
            raise RuntimeError(f'the planning process ended with {code}:\n{said}')
        result = json.loads(answer.read_text())
    if 'error' in result:
        raise UserError(result['error'])
    return result
