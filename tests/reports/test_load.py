"""What is read from the folders of runs, whole or not."""

import json
import subprocess
import sys

import pytest

from genjax.errors import UserError
from genjax.protocols import protocol
from genjax.reports import report
from genjax.reports.load import read
from tests.reports import folders

RECORDS = [
    {'step': 100, 'vae/loss': 5.0},
    {'step': 100, 'nll/nll': 4.0},
    {'step': 200, 'nll/nll': 2.0, 'nll/stderr': 0.1},
    {'step': 300, 'vae/loss': None, 'nll/nll': 3.0},
]


def test_results_of_the_last_step_and_of_the_best(tmp_path):
    folders.trial(tmp_path, 0, {'model.beta': 2.0, 'seed': 3}, RECORDS, {'test_nll/nll': 2.5})
    (trial,) = read(tmp_path).trials
    assert (trial.seed, trial.status, trial.steps) == (3, 'complete', folders.STEPS)
    assert trial.results == {
        'test_nll/nll': 2.5,
        'vae/loss': None,
        'nll/nll': 3.0,
        'nll/stderr': 0.1,
        'best/nll/nll': 2.0,
        'best/nll/stderr': 0.1,
    }
    assert trial.curves['vae/loss'] == [(100, 5.0), (300, None)]
    assert trial.devices == (4, 'TPU v5e')
    assert trial.device_hours == pytest.approx(4 * 90 / 3600)


def test_what_the_time_was_used_for(tmp_path):
    for seed in range(2):
        folders.trial(tmp_path, seed, {'seed': seed}, RECORDS)
        content = {'step': 300, 'until': 1e9, 'seconds': {'step': 45.0, 'idle': 15.0 * seed}}
        folders.write(folders.workdir(tmp_path, seed) / 'timesheet.json', content)
    assert report.make(tmp_path).time() == 'Time: 105 s: step 85.7%, idle 14.3%.'
    (folders.workdir(tmp_path, 1) / 'timesheet.json').write_text('[')
    assert report.make(tmp_path).time() == 'Time: 45 s: step 100.0%.'


def test_results_of_other_protocols_are_not_in_one_table(tmp_path):
    for seed, samples in enumerate((500, 500, 400)):
        test = {'fd/distance': 1.0, 'fd/protocol': protocol(features='data', samples=samples)}
        folders.trial(tmp_path, seed, {'seed': seed}, RECORDS, test | {'test_nll/nll': 2.5})
    report.make(tmp_path)
    with pytest.raises(UserError, match=r"samples is '500' .* and '400'"):
        report.make(tmp_path, ['fd'])


def test_the_largest_may_be_the_best(tmp_path):
    changes = {'best_mode': 'max'}
    folders.trial(tmp_path, 0, changes, RECORDS)
    (trial,) = read(tmp_path).trials
    assert trial.results['best/nll/nll'] == 4.0


def test_the_test_is_that_of_the_best_checkpoint_and_of_this_config(tmp_path):
    folders.trial(tmp_path, 0, {}, RECORDS, {'test_nll/nll': 1.0}, step=200)
    place = folders.workdir(tmp_path, 0) / 'evaluations'
    content = json.loads((place / '200.json').read_text())
    other = {'step': 300, 'evals': {'test_nll': {'results': {'nll': 2.0}}}}
    folders.write(place / '300.json', content | other)
    assert read(tmp_path).trials[0].results['test_nll/nll'] == 1.0
    folders.write(place / '200.json', content | {'config': 'of another run'})
    assert read(tmp_path).trials[0].results['test_nll/nll'] == 2.0


def test_an_eval_of_several_checkpoints_is_a_curve(tmp_path):
    test = {'test_nll/nll': 2.5, 'fd/distance': 3.0}
    folders.trial(tmp_path, 0, {}, RECORDS, test, step=200)
    place = folders.workdir(tmp_path, 0) / 'evaluations'
    content = json.loads((place / '200.json').read_text())
    evals = {'fd': {'results': {'distance': 5.0, 'protocol': 'any'}}}
    folders.write(place / '100.json', content | {'step': 100, 'evals': evals})
    (trial,) = read(tmp_path).trials
    assert trial.curves['fd/distance'] == [(100, 5.0), (200, 3.0)]
    assert trial.results['fd/distance'] == 3.0
    assert 'test_nll/nll' not in trial.curves and 'fd' not in trial.final


@pytest.mark.parametrize('torn', ['{"step": 400, "vae/lo', '{"step": 4', '12', '\0\0\0'])
def test_a_line_that_is_being_written_is_none_yet(tmp_path, torn):
    folders.trial(tmp_path, 0, {}, RECORDS, result=None)
    with (folders.workdir(tmp_path, 0) / 'metrics.jsonl').open('a') as file:
        file.write(torn)
    (trial,) = read(tmp_path).trials
    assert (trial.status, trial.steps) == ('unfinished', 300)
    assert trial.curves['vae/loss'] == [(100, 5.0), (300, None)]


def test_a_trial_that_was_started_again_has_not_ended(tmp_path):
    later = {**folders.START, 'time': '2999-01-01T12:00:00+0000'}
    folders.trial(tmp_path, 0, {}, RECORDS, result=('failed', 'no space'), start=later)
    (trial,) = read(tmp_path).trials
    assert (trial.status, trial.reason, trial.seconds) == ('unfinished', '', 90.0)


def test_folders_of_runs_and_single_runs(tmp_path):
    done = [{'step': folders.STEPS, 'vae/loss': 1.0}]
    folders.run(tmp_path / 'b', folders.config(seed=1), done)
    folders.run(tmp_path / 'a', folders.config(seed=0), RECORDS)
    (tmp_path / 'notes').mkdir()
    trials = read(tmp_path).trials
    assert [(t.id, t.status, t.seconds) for t in trials] == [
        ('a', 'unfinished', None),
        ('b', 'complete', None),
    ]
    (alone,) = read(tmp_path / 'b').trials
    assert alone == trials[1]


def test_a_run_that_ended_early_and_was_judged_is_complete(tmp_path):
    patient = folders.config(patience=2)
    folders.run(tmp_path, patient, RECORDS)
    assert read(tmp_path).trials[0].status == 'unfinished'
    folders.run(tmp_path, patient, RECORDS, {'test_nll/nll': 2.0}, step=200)
    assert read(tmp_path).trials[0].status == 'complete'


def test_a_constructor_is_the_value_of_its_field(tmp_path):
    schedule = {'_target_': 'optax.cosine_decay_schedule', 'init_value': 1e-3}
    for number, rate in enumerate([1e-3, schedule]):
        folders.trial(tmp_path, number, {'optimizer.learning_rate': rate})
    made = report.make(tmp_path)
    assert made.fields == ['optimizer.learning_rate', 'optimizer.learning_rate.init_value']
    names = [group.settings['optimizer.learning_rate'] for group in made.groups]
    assert names == [1e-3, 'optax.cosine_decay_schedule']


def test_the_metric_is_the_best_result_of_the_config_where_it_was_measured(tmp_path):
    test = {'modes/modes': 9.0, 'test_nll/kind': 'exact', 'test_nll/nll': 2.0}
    folders.trial(tmp_path, 0, {}, RECORDS, test)
    assert report.make(tmp_path).metrics == ['test_nll/nll']
    folders.trial(tmp_path / 'other', 0, {'best': None}, RECORDS, test)
    assert report.make(tmp_path / 'other').metrics == ['modes/modes']
    folders.trial(tmp_path / 'running', 0, {}, RECORDS, result=None)
    assert report.make(tmp_path / 'running').metrics == ['best/nll/nll']


def test_an_eval_names_its_first_result(tmp_path):
    test = {'test_nll/kind': 'exact', 'test_nll/nll': 2.0, 'test_nll/stderr': 0.1}
    folders.trial(tmp_path, 0, {}, RECORDS, test)
    assert report.make(tmp_path, ['test_nll']).metrics == ['test_nll/nll']
    assert report.make(tmp_path, ['best/nll']).metrics == ['best/nll/nll']


def test_a_run_from_before_evals_had_names_is_read_as_one_of_today(tmp_path):
    config = folders.config(best='likelihood/nll')
    evaluator = {k: v for k, v in config.pop('evals')['nll'].items() if k == '_target_'}
    config |= {'validation': [evaluator], 'test': [evaluator], 'validate_every': 100}
    records = [
        {'step': 100, 'validation/likelihood/nll': 1.0, 'validation/likelihood/stderr': 0.1},
        {'step': 200, 'validation/likelihood/nll': 3.0},
    ]
    folders.run(tmp_path, config, records)
    old = {'step': 100, 'figures': {'likelihood/nll': 2.0, 'likelihood/kind': 'exact'}}
    folders.write(tmp_path / 'evaluations/100.json', old | {'config': 'f-run'})
    made = report.make(tmp_path)
    (trial,) = made.trials
    assert trial.results == {
        'likelihood/nll': 3.0,
        'likelihood/stderr': 0.1,
        'best/likelihood/nll': 1.0,
        'best/likelihood/stderr': 0.1,
        'test_likelihood/nll': 2.0,
        'test_likelihood/kind': 'exact',
    }
    assert made.metrics == ['test_likelihood/nll']
    assert trial.fields['evals.likelihood.every'] == 100


@pytest.mark.parametrize(
    'metrics, by, message',
    [
        (['test_nll/nlll'], [], "did you mean 'test_nll/nll'?"),
        (['test_nll/kind'], [], "no run in .* has the metric 'test_nll/kind'"),
        ([], ['model.bata'], "no field 'model.bata'; did you mean 'model.beta'?"),
        ([], ['seed'], 'not the seed'),
        ([], ['model.beta', 'model.beta'], 'two different'),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(tmp_path, metrics, by, message):
    test = {'test_nll/nll': 2.0, 'test_nll/kind': 'exact'}
    folders.trial(tmp_path, 0, {'model.beta': 2.0}, test=test)
    with pytest.raises(UserError, match=message.replace('?', r'\?')):
        report.make(tmp_path, metrics, by)


def test_a_folder_without_runs(tmp_path):
    with pytest.raises(UserError, match='holds no runs'):
        read(tmp_path)
    with pytest.raises(UserError, match=r'there is no folder .*nowhere'):
        read(tmp_path / 'nowhere')


@pytest.mark.parametrize('content', ['{', '{}', '[]', '{"config": {"seed": 1}}', '{"config": 3}'])
def test_a_damaged_record_is_named(tmp_path, content):
    folders.write(tmp_path / 'run/config.json', content)
    with pytest.raises(UserError, match=r'cannot read .*run'):
        read(tmp_path)


def test_it_starts_without_jax(tmp_path):
    folders.trial(tmp_path, 0, {}, RECORDS, {'test_nll/nll': 2.0})
    code = f"""
import sys
from genjax.cli import main
assert main(['report', {str(tmp_path)!r}, '--out={tmp_path}/page.html']) == 0
assert not {{'jax', 'flax', 'matplotlib', 'tensorflow_datasets'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-c', code], check=True)


def test_runs_of_different_models_go_by_their_names(tmp_path):
    for name, features in (('big', {'_target_': 'genjax.networks.MLP'}), ('small', None)):
        content = folders.config(model={'_target_': f'genjax.models.{name}', 'encoder': features})
        folders.run(tmp_path / name, content, RECORDS, {'test_nll/nll': 2.5}, name=name)
    made = report.make(tmp_path)
    assert made.fields == ['run']
    assert [group.settings for group in made.groups] == [{'run': 'big'}, {'run': 'small'}]
    assert made.title(made.trials[0]) == 'run=big seed=0'


def test_sweeps_of_a_folder_go_by_their_names_and_what_they_set(tmp_path):
    for number, (name, rate) in enumerate((('big', 0.1), ('big', 0.2), ('small', 0.1))):
        model = {'_target_': f'genjax.models.{name}', 'encoder': number}
        changes = {'model': model, 'clip_norm': rate, 'seed': number}
        folders.trial(tmp_path / name, number, changes, RECORDS, {'test_nll/nll': 2.5})
        sweep = tmp_path / name / 'sweep.json'
        record = json.loads(sweep.read_text())
        for row in record['trials']:
            row['changes'].pop('model', None)
        folders.write(sweep, record)
    made = report.make(tmp_path)
    assert made.fields == ['sweep', 'clip_norm']
    assert [tuple(group.settings.values()) for group in made.groups] == [
        ('big', 0.1), ('big', 0.2), ('small', 0.1)
    ]  # fmt: skip
    assert [trial.id for trial in made.trials] == [
        'big/trial000', 'big/trial001', 'small/trial002'
    ]  # fmt: skip
