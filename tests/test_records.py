"""Results are read from `metrics.jsonl` as it grows, each record once."""

import json

from genjax import records


def _line(step, **metrics):
    return json.dumps({'step': step, **metrics}) + '\n'


def test_results_of_a_file_that_grows_are_those_of_the_whole(tmp_path):
    path, results = tmp_path / records.METRICS, records.Results(tmp_path, {'nll', 'fid'})
    assert results() == []
    torn = _line(4, **{'nll/nats': 1.0})
    parts = [
        _line(1, loss=3.0) + _line(2, **{'nll/nats': 2.0, 'loss': 1.0}) + torn[:9],
        torn[9:] + 'not JSON\n' + _line(5, loss=0.5),
        '',
        _line(6, **{'validation/fid/fid': None, 'nll_of_another/nats': 0.0}),
    ]
    expected = [
        [(2, {'nll/nats': 2.0})],
        [(4, {'nll/nats': 1.0})],
        [],
        [(6, {'fid/fid': None})],
    ]
    known = []
    for part, new in zip(parts, expected, strict=True):
        with path.open('a') as file:
            file.write(part)
        known += new
        assert results() == known
    # A resumed run replaces the file by one without the steps that it repeats.
    (tmp_path / 'new').write_text(_line(2, **{'nll/nats': 2.0}))
    (tmp_path / 'new').replace(path)
    assert results() == known[:1]


def test_a_call_reads_only_what_was_added(tmp_path):
    path, results = tmp_path / records.METRICS, records.Results(tmp_path, {'nll'})
    path.write_text(_line(1, **{'nll/nats': 1.0}))
    results()
    with path.open('r+') as file:  # the same bytes elsewhere would be seen if they were read again
        file.write(_line(1, **{'nll/nats': 9.0}) + _line(2, **{'nll/nats': 2.0}))
    assert results() == [(1, {'nll/nats': 1.0}), (2, {'nll/nats': 2.0})]
