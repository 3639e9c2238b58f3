"""The networks of a trained model as modules of `flax.nnx`."""

from typing import Any

import flax.linen as nn
import jax
from flax import nnx
from flax.nnx.bridge import variables as bridge

from genjax.models import flax_utils
from genjax.networks import FromNNX
from genjax.parallel.host import fetch
from genjax.training import workdir
from genjax.training.run import Run


def networks(run: Run) -> dict[str, nnx.Module]:
    """Returns the networks of a run by parameter group, with its weights."""
    variables, experiment = fetch(run.variables), run.experiment
    example = workdir.read(run.workdir)['example']
    batch = {n: jax.ShapeDtypeStruct((1, *shape), dtype) for n, (shape, dtype) in example.items()}
    batch['x'] = experiment.check_shapes(batch['x'])
    found = flax_utils.networks_of(run.model, batch)
    return {
        group: _module(network, variables['params'][group], variables['state'].get(group, {}))
        for group, network in found.items()
        if group in variables['params']
    }


def _module(network: nn.Module, params: Any, state: Any) -> nnx.Module:
    if isinstance(network, FromNNX):
        module = network.nnx_class(**network.kwargs, rngs=nnx.Rngs(0))
        nnx.update(module, nnx.merge_state(params, *state.values()))
        return module
    module = nnx.bridge.ToNNX(network, rngs=nnx.Rngs(0))
    for name, value in bridge.linen_vars_to_nnx_attrs({'params': params, **state}).items():
        setattr(module, name, nnx.data(value))
    return module
