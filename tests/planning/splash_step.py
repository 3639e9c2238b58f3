"""Compiles training steps with splash attention for absent TPUs and prints, for each, the choice of
attention, and the shapes of the queries [B, heads, T, D] that each kernel takes on a device.

It runs in the environment of the topology, its only argument: `test_tpu.py`.
"""

import dataclasses
import json
import re
import sys

from genjax.config import spec
from genjax.data import Chain
from genjax.models import GPT, DiffusionModel
from genjax.models.diffusion import DiscreteVP, Epsilon
from genjax.networks import DiT, Transformer
from genjax.networks.attention import recorded
from genjax.parallel.sharding import MeshShape
from genjax.planning import topology
from genjax.training.experiment import experiment_of
from genjax.training.programs import Programs
from tests.training import tiny

KERNEL = re.compile(
    r'%splash_mha_(fwd|dq|dkv)_.* custom-call\(.*operand_layout_constraints={.*?bf16\[([\d,]+)\]',
)


def kernels(model, shape, dtype, mesh, devices):
    config = tiny.vae(model=model, preprocess=spec(Chain), batch_size=8, accumulate=1)
    experiment = dataclasses.replace(experiment_of(config), mesh=mesh)
    programs = Programs.of(experiment, {'x': (shape, dtype)}, devices)
    with recorded() as attention:
        step = programs.step.lower(programs.state, programs.batch)
    return [*attention, *sorted(set(KERNEL.findall(step.compile().as_text())))]


if __name__ == '__main__':
    devices = topology.devices(topology.parse(sys.argv[1]))
    size = {'features': 128, 'num_layers': 1, 'num_heads': 2, 'dtype': 'bfloat16'}
    network = spec(DiT, shape=(34, 34, 1), patch=1, **size)
    dit = spec(DiffusionModel, network, spec(DiscreteVP), spec(Epsilon))
    gpt = spec(GPT, spec(Transformer, shape=(1100,), vocab_size=64, **size))
    found = {
        'dit': kernels(dit, (34, 34, 1), 'float32', MeshShape(data=2, tensor=2), devices),
        'gpt': kernels(gpt, (1100,), 'int32', MeshShape(data=2, fsdp=2), devices),
    }
    print(json.dumps(found))
