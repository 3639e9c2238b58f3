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
from genjax.networks.attention import HALF, recorded
from genjax.parallel import sharding
from genjax.planning import plan as plans
from genjax.planning import programs, search, topology
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs


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
    where = topology.parse(request['topology'], request['slices'])
    devices = topology.devices(where)
    chip = where.chip(devices[0].device_kind)
    if where.servers:
        config = _without_cudnn(config)
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
        if where.servers and mesh.shape['data'] % where.servers:
            data = mesh.shape['data']
            raise UserError(
                f'config.mesh: data={data} does not divide over {where.servers} servers'
            )
        rows = experiment.batch_size // experiment.accumulate // sharding.num_shares(mesh)
        of_training = Programs.of(experiment, shapes, devices)
        with recorded() as attention:
            program = programs.program(request['program'], experiment, shapes, of_training)
        return plans.make(program, mesh, where, rows if train else None, sorted(attention))

    if request['search']:
        if chip is None:
            raise UserError(
                '--search and --fit need a chip with known figures, not ' + request['topology']
            )
        choices = search.search(
            config,
            shapes,
            devices,
            max(where.slices, where.servers),
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


def _without_cudnn(config: Any) -> Any:
    """Returns the config with attention in chunks in place of cuDNN's, which only a GPU's compiler
    knows: the memory of both grows with the length, not its square.
    """
    values = dict(configs.leaves(config))
    chunked = {
        path: 'chunked'
        for path, value in values.items()
        if path.rpartition('.')[2] == 'attention' and value in ('auto', 'cudnn')
        and values[f'{path.rpartition(".")[0]}.dtype'] in HALF
    }  # fmt: skip
    return configs.with_fields(config, chunked)


if __name__ == '__main__':
    given = json.loads(Path(sys.argv[1]).read_text())
    try:
        result = answer(given)
    except UserError as error:
        result = {'error': str(error)}
    Path(sys.argv[2]).write_text(json.dumps(result))
