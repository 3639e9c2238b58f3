"""Learning rates of the phases, for metric records."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax import config as configs
from genjax.schedules import at_step
from genjax.training.experiment import Experiment


class LearningRates:
    """Computes `<phase>/learning_rate` for recorded steps: the field `learning_rate` of each
    phase's optimizer in the config. Phases without this field are left out.

    Schedules are evaluated once, on the host, before the first step: the step program does not
    change, and nothing waits for the device.
    """

    def __init__(self, config: Mapping[str, Any], experiment: Experiment, start: int):
        """Takes the config of the experiment, and the step to start from."""
        self._start, self._rates = start, {}
        last = np.arange(start, experiment.steps, dtype=np.int32)  # of the updates
        for phase in at_step(experiment.model, 0).phases:
            own = config['optimizer']
            found = _find(own[phase.name] if isinstance(experiment.optimizer, Mapping) else own)
            rate = None if found is None else configs.build(found)
            if callable(rate) and len(last):
                cpu = jax.local_devices(backend='cpu')[0]
                with jax.transfer_guard('allow'), jax.default_device(cpu):
                    rate = np.asarray(jax.jit(jax.vmap(rate))(last))
            if isinstance(rate, int | float | np.ndarray):
                self._rates[f'{phase.name}/learning_rate'] = np.broadcast_to(rate, last.shape)

    def __call__(self, step: int) -> dict[str, float]:
        """Returns the rates of the update that ended with this step."""
        return {name: float(rates[step - self._start - 1]) for name, rates in self._rates.items()}


def _find(config: Any) -> Any:
    """Field `learning_rate` of an optimizer or, without one, of an inner optimizer."""
    if not hasattr(config, 'items'):
        return None
    if 'learning_rate' in config:
        return config['learning_rate']
    return next((rate for _, value in config.items() if (rate := _find(value)) is not None), None)
