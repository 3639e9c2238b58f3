"""Runs that end before their last step, because they have stopped getting better."""

import json

import pytest

from tests.training.conftest import records, steps_saved

pytestmark = pytest.mark.slow

RESULT = 'moved/moved'
WORSE = {  # the result shrinks: the first evaluation is the best
    'steps': 20,
    'evals': "{'moved': @tests.training.tiny.Moved, 'test_moved': @tests.training.tiny.Moved}",
    'evals__moved__split': 'validation',
    'evals__moved__every': 2,
    'best': 'moved',
    'best_mode': 'max',
}


def test_a_run_ends_when_its_best_result_stays_behind(train, tmp_path):
    assert train(**WORSE, patience=3)[0] == 0
    run = tmp_path / 'run'
    assert max(record['step'] for record in records(run)) == 8
    assert steps_saved(run)[0] == 2
    assert steps_saved(run)[-1] == 8
    assert (run / 'samples' / '8.png').exists()
    assert (run / 'evaluations' / '2.json').exists()
    assert train(**WORSE, patience=3)[1].startswith(f'{run} is complete: 8 of 20 steps')
    assert max(record['step'] for record in records(run)) == 8


@pytest.mark.full
def test_a_run_goes_on_with_more_patience(train, tmp_path):
    train(**WORSE, patience=3)
    assert train(**WORSE, patience=5)[0] == 0
    steps = [record['step'] for record in records(tmp_path / 'run', RESULT)]
    assert steps == [2, 4, 6, 8, 10, 12]


@pytest.mark.full
def test_a_run_that_gets_better_comes_to_its_last_step(train, tmp_path):
    assert train(**{**WORSE, 'best_mode': 'min'}, patience=1)[0] == 0
    assert max(record['step'] for record in records(tmp_path / 'run')) == 20


def test_patience_that_means_nothing_is_refused(train):
    status, _, err = train(**{**WORSE, 'patience': 2, 'best': None})
    assert status == 2
    assert 'patience=2 must be at least 1 and needs best' in err


@pytest.mark.full
def test_records_after_the_checkpoint_do_not_count(train, tmp_path):
    """A killed run has records of steps that it will do again."""
    train(**{**WORSE, 'steps': 4}, patience=3)
    with (tmp_path / 'run' / 'metrics.jsonl').open('a') as file:
        for step in (6, 8, 10):
            file.write(json.dumps({'step': step, RESULT: -9.0}) + '\n')
    assert train(**WORSE, patience=3)[0] == 0
    assert max(record['step'] for record in records(tmp_path / 'run')) == 8


@pytest.mark.full
def test_a_run_from_before_evals_had_names_goes_on_with_its_best(train, genjax, tmp_path):
    """Its evaluations count for `best` and `patience`, under the names that they have now."""
    train(**WORSE, patience=3)
    run = tmp_path / 'run'
    record = json.loads((run / 'config.json').read_text())
    config = record['config']
    del config['evals']
    evaluator = {'_target_': 'tests.training.tiny.Moved'}
    config |= {'validation': [evaluator], 'test': [evaluator], 'validate_every': 2}
    config |= {'best': 'moved/moved', 'patience': 5}
    (run / 'config.json').write_text(json.dumps(record))
    lines = (run / 'metrics.jsonl').read_text().replace('"moved/moved"', '"validation/moved/moved"')
    (run / 'metrics.jsonl').write_text(lines)
    words = ['train', f'--config={run / "config.json"}', f'--workdir={run}']
    status, out, err = genjax(*words)
    assert (status, err) == (0, '')
    assert [r['step'] for r in records(run, RESULT)] == [2, 4, 6, 8, 10, 12]
    assert steps_saved(run)[0] == 2 and f'{run} step 2  test_moved/moved' in out
    assert genjax(*words)[1].startswith(f'{run} is complete: 12 of 20 steps')
