"""The process that compiles: reads a request from one file and writes the answer to another.

    python -m genjax.planning request.json answer.json

It runs with the environment `topology.environment`, which must be set before JAX starts.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

from genjax import config as configs
from genjax.errors import UserError
from genjax.hardware.chips import chip_of
from genjax.parallel import sharding
from genjax.planning import plan as plans
from genjax.planning import programs, search, topology
from genjax.training.experiment import experiment_of


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answers a planning request: shapes, chip, and a plan or a ranking of arrangements.

    Raises:
        UserError: the config, the model or the data cannot be planned.
    """
    for folder in request['path']:
        configs.trust.on_path(folder)
    configs.trust.name(request['config'])  # the requesting process has trusted it already
    config = configs.from_json(request['config'])
    experiment = experiment_of(config)
    devices = topology.devices(topology.parse(request['topology'], request['slices']))
    chip = chip_of(devices[0].device_kind)
    shapes, missing = programs.example(experiment)
    about = {
        'shapes': {name: f'{dtype}{list(shape)}' for name, (shape, dtype) in shapes.items()},
        'data_missing': missing,
        'chip': chip and {'name': chip.name, 'memory': chip.memory, 'flops': chip.flops},
    }
    train = request['program'] == 'train'

    def plan(config: Any) -> plans.Plan:
        experiment = experiment_of(config)
        mesh = experiment.mesh.make(devices)
        rows = experiment.batch_size // experiment.accumulate // sharding.num_shares(mesh)
        program = programs.program(request['program'], experiment, shapes, devices)
        return plans.make(program, mesh, rows if train else None)

    if request['search']:
        if chip is None:
            raise UserError(f'--search needs a chip with known figures, not {request["topology"]}')
        choices = search.search(
            config,
            shapes,
            devices,
            request['slices'],
            chip,
            plan,
            functools.partial(print, flush=True),
        )
        return about | {'search': [{'fields': c.fields, **c.plan.as_json()} for c in choices]}
    made = plan(config)
    about['plan'] = made.as_json()
    if made.fits is False and train:
        shares = made.mesh['data'] * made.mesh['fsdp']
        largest = search.largest_micro_batch(config, shares, plan)
        about['largest'] = largest and {**largest.fields, 'micro_batch': largest.plan.micro_batch}
    return about


if __name__ == '__main__':
    given = json.loads(Path(sys.argv[1]).read_text())
    try:
        result = answer(given)
    except UserError as error:
        result = {'error': str(error)}
    Path(sys.argv[2]).write_text(json.dumps(result))
