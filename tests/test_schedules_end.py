"""Every schedule of every config ends with the run, however many steps that is given."""

from pathlib import Path

import pytest
from ml_collections import ConfigDict

from genjax import config as configs

ROOT = Path(__file__).parent.parent
FILES = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob('configs/*/*.py'))


def parts(config):
    """All parts of a config that are calls."""
    if isinstance(config, ConfigDict):
        yield config
    for value in config.values() if isinstance(config, ConfigDict) else config:
        if isinstance(value, ConfigDict | tuple):
            yield from parts(value)


def end(part):
    """The step at which a schedule ends, or by which it has warmed up; None: it is none."""
    name = part.get(configs.TARGET, '').rpartition('.')[2]
    if name == 'staircase':
        return sum(part.lengths)
    fields = {
        'cosine_decay_schedule': 'decay_steps',
        'warmup_cosine_decay_schedule': 'decay_steps',
        'linear_schedule': 'transition_steps',
        'cosine': 'steps',
    }
    return part[fields[name]] if name in fields else None


@pytest.mark.parametrize('file', FILES)
def test_schedules_end_at_the_last_step(file):
    config = configs.load(str(ROOT / file), [('steps', '37')])
    for part in parts(config):
        assert part.get('warmup_steps', 0) <= 37
        name = part.get(configs.TARGET, '').rpartition('.')[2]
        if name == 'staircase':  # each of its lengths is rounded down
            assert 37 - len(part.lengths) < end(part) <= 37
        elif name == 'linear_schedule' and part.init_value == 0.0:  # a warm-up
            assert end(part) <= 37
        else:
            assert end(part) in (None, 37)
