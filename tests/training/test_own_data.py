"""Training on the user's own files, named on the command line."""

import json

import pytest

from tests.data import own
from tests.training.conftest import assert_same, records, state_of


@pytest.mark.parametrize(
    ('name', 'fields'),
    [
        ('Images', {'size': 8, 'channels': 1, 'in_memory': False}),
        ('Images', {'size': 8, 'channels': 1}),
    ],
    ids=['streamed', 'in memory'],
)
def test_twice_n_steps_are_n_and_n(name, fields, train, tmp_path):
    path = own.images(tmp_path).path
    overrides = {f'dataset.{key}': value for key, value in {'path': path, **fields}.items()}
    for steps, folder in ((6, 'run'), (12, 'run'), (12, 'whole')):
        options = {'dataset': f'@genjax.data.{name}', **overrides, 'steps': steps}
        status, _, err = train(workdir=tmp_path / folder, **options)
        assert (status, err) == (0, '')
    assert_same(state_of(tmp_path / 'run'), state_of(tmp_path / 'whole'))
    assert records(tmp_path / 'run') == records(tmp_path / 'whole')


def test_what_is_left_out_is_recorded(train, tmp_path):
    dataset = own.images(tmp_path)
    (tmp_path / 'photos and drawings' / 'cat' / 'no.png').write_text('no')
    options = {'dataset': '@genjax.data.Images', 'dataset.path': dataset.path, 'steps': 2,
               'dataset.size': 8, 'dataset.channels': 1}  # fmt: skip
    status, _, err = train(**options)
    assert status == 2 and '1 of 61 images' in err and 'cat/no.png: it is no image' in err
    assert not (tmp_path / 'run').exists()
    status, _, err = train(**options, **{'dataset.on_error': 'skip'})
    assert status == 0
    record = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert record['data_skipped'] == {'cat/no.png': 'it is no image'}
