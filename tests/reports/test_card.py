"""Cards of made-up runs: means, intervals, kinds, protocols, and who is not beaten."""

import json

import pytest

from genjax.cli import main
from genjax.errors import UserError
from genjax.protocols import protocol
from genjax.reports import card, report
from tests.reports import folders


def results(distance, speed, samples=500, kind='exact', seed=0):
    return {
        'fd/distance': distance, 'fd/stderr': 0.5,
        'fd/protocol': protocol(samples=samples, seed=seed),
        'speed/samples_per_s': speed, 'prdc/recall': 0.5, 'prdc/recall_stderr': 0.01,
        'likelihood/nll': 3.0, 'likelihood/kind': kind,
    }  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    number = 0
    for beta, distance, speed in ((1.0, 4.0, 10.0), (2.0, 2.0, 5.0), (4.0, 3.0, 4.0)):
        for seed in (0, 1):
            changes = {'model.beta': beta, 'seed': seed}
            found = results(distance + seed, speed, seed=seed)
            folders.trial(tmp_path, number, changes, test=found)
            number += 1
    return tmp_path


def test_axes_hold_means_over_seeds(sweep):
    made = card.with_costs(report.make(sweep))
    tables = {axis: (heads, rows) for axis, heads, rows in card.tables(made)}
    assert [*tables] == ['Quality', 'Diversity', 'Likelihood', 'Speed', 'Size and cost']
    assert tables['Quality'] == (
        ['model.beta', 'distance ↓'], [['1', '4.5 ± 0.5'], ['2', '2.5 ± 0.5'], ['4', '3.5 ± 0.5']]
    )  # fmt: skip
    heads, rows = tables['Likelihood']
    assert heads[-1] == 'kind' and rows[0][-1] == 'exact'
    heads, rows = tables['Size and cost']
    assert heads == ['model.beta', 'steps', 'device hours'] and rows[0][1] == '1000'


def test_a_single_run_shows_its_own_error(tmp_path):
    folders.trial(tmp_path, 0, {}, test=results(4.0, 10.0))
    made = card.with_costs(report.make(tmp_path))
    (_, _, quality), (_, _, diversity), *_ = card.tables(made)
    assert quality == [['4 ± 0.5']] and diversity == [['0.5 ± 0.01']]


def test_other_protocols_are_refused(sweep):
    folders.trial(sweep, 6, {'model.beta': 8.0, 'seed': 0}, test=results(1.0, 1.0, samples=400))
    with pytest.raises(UserError, match=r"fd of .* samples is '500' .* '400'"):
        card.with_costs(report.make(sweep, ['likelihood']))


def test_the_front_has_no_faster_and_nearer_point():
    points = [(10.0, 4.5), (5.0, 2.5), (4.0, 3.5), (5.0, 3.0), (1.0, 2.5)]
    assert card._front(points) == [(10.0, 4.5), (5.0, 2.5)]


def test_the_command_writes_page_json_and_plot(sweep, capsys):
    assert main(['report', str(sweep), '--card']) == 0
    shown = capsys.readouterr().out
    assert '## Quality' in shown and '4.5 ± 0.5' in shown and shown.count('fd: samples=500 [') == 1
    assert main(['report', str(sweep), '--card', f'--out={sweep}/card.html']) == 0
    page = (sweep / 'card.html').read_text()
    assert '<h2>Diversity</h2>' in page and '2.5 ± 0.5' in page
    (first, *_) = json.loads((sweep / 'card.json').read_text())
    assert first['settings'] == {'model.beta': '1.0'}
    assert first['results']['Quality']['fd/distance']['mean'] == 4.5
    assert main(['report', str(sweep), '--card', f'--out={sweep}/card.png']) == 0
    assert (sweep / 'card.png').stat().st_size > 5000
    assert main(['report', str(sweep), '--card', f'--out={sweep}/card.csv']) == 2
    assert 'md, html or png' in capsys.readouterr().err


def test_runs_without_a_card_are_told(tmp_path, capsys):
    folders.trial(tmp_path, 0, {}, test={'test_nll/nll': 1.0})
    assert main(['report', str(tmp_path), '--card']) == 2
    assert 'genjax evaluate --card' in capsys.readouterr().err
