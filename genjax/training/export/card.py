"""Description of an exported model, `card.json`."""

from typing import Any

from genjax import config as configs
from genjax.training import workdir
from genjax.training.averages import Average
from genjax.training.run import Run
from genjax.training.weights import fingerprint, named

CARD = 'card.json'


def card_of(run: Run, variables: Any) -> dict[str, Any]:
    """Returns the part of the card that is the same in all formats."""
    record, experiment = workdir.read(run.workdir), run.experiment
    ema = experiment.ema[0] if run.ema is True and experiment.ema else run.ema
    if isinstance(ema, Average):
        ema = configs.to_json(configs.as_config(ema))
    return {
        'model': type(run.model).__name__,
        'step': run.step,
        'ema': None if isinstance(ema, bool) else ema,
        'fingerprint': fingerprint(variables),
        'arrays': {name: [str(a.dtype), list(a.shape)] for name, a in named(variables).items()},
        'data': {
            'dataset': record['config']['dataset'],
            'fingerprint': record['data'],
            'example': record['example'],
            'num_classes': getattr(run.model, 'num_classes', None),
            'preprocess': record['config']['preprocess'],
        },
        'config': record['config'],
        'run': {'id': record['id'], 'config': record['fingerprint']},
        'sampling': configs.to_json(configs.as_config(run.model.sampling))
        if hasattr(run.model, 'sampling')
        else None,
        'provenance': workdir.provenance(),
    }
