"""Writes folders of sweeps as `genjax sweep` leaves them, with made-up results."""

import json
from pathlib import Path

from PIL import Image

STEPS = 1000
LIKELIHOOD = 'genjax.evaluation.Likelihood'
START = {
    'time': '2026-01-01T12:00:00+0000',
    'genjax': '0.1.0',
    'commit': '0123456789abcdef',
    'python': '3.12.0',
    'packages': {'jax': '0.10.0', 'numpy': '2.4.0'},
    'devices': '4 x TPU v5e',
    'processes': 1,
}


def config(**fields):
    """A config that no code has to know, with some fields changed by path."""
    whole = {
        '_target_': 'genjax.training.Experiment',
        'best': 'nll',
        'best_mode': 'min',
        'model': {'_target_': 'genjax.models.VAE', 'beta': 1.0, 'features': [8, 8]},
        'evals': {
            'nll': {'_target_': LIKELIHOOD, 'split': 'validation', 'every': 100},
            'test_nll': {'_target_': LIKELIHOOD, 'split': 'test', 'every': 0},
        },
        'optimizer': {'_target_': 'optax.adam', 'learning_rate': 1e-3},
        'seed': 0,
        'steps': STEPS,
    }
    for path, value in fields.items():
        *parents, last = path.split('.')
        node = whole
        for name in parents:
            node = node[name]
        node[last] = value
    return whole


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def run(workdir, content, records=(), test=None, step=STEPS, name='run', start=START):
    """One run: its record, its metrics, and the results of its final evals if it has them."""
    record = {'id': name, 'config': content, 'fingerprint': f'f-{name}', 'data': 'd' * 64}
    record |= {'preprocess': {}, 'example': {}, 'starts': [start]}
    write(workdir / 'config.json', record)
    write(workdir / 'metrics.jsonl', ''.join(json.dumps(r) + '\n' for r in records))
    if test is not None:
        evals = {}
        for metric, value in test.items():
            eval_name, _, result = metric.partition('/')
            evals.setdefault(eval_name, {'results': {}})['results'][result] = value
        content = {'step': step, 'evals': evals, 'config': f'f-{name}'}
        write(workdir / f'evaluations/{step}.json', content)


def trial(folder, number, changes, records=(), test=None, result=('complete', ''), **kwargs):
    """Adds a trial to a sweep; `result` None: it has not ended, '' : it has not begun."""
    name = f'trial{number:03}'
    recorded = folder / 'sweep.json'
    rows = json.loads(recorded.read_text())['trials'] if recorded.exists() else []
    rows.append({'id': name, 'changes': changes})
    write(recorded, {'config': 'configs/made_up.py', 'trials': rows})
    write(folder / f'configs/{name}.json', config(**changes))
    if result == '':
        return
    run(folder / 'trials' / name, config(**changes), records, test, name=name, **kwargs)
    if result:
        status, reason = result
        content = {'status': status, 'reason': reason, 'seconds': 90.0}
        write(folder / f'results/{name}.json', content)


def picture(path, size):
    """A grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', (size, size), 128).save(path)


def workdir(folder, number) -> Path:
    """The run of a trial."""
    return folder / 'trials' / f'trial{number:03}'
