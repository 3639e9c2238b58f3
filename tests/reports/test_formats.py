"""The tidy table, Markdown and the picture."""

import csv
import io

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from genjax.cli import main
from genjax.reports import markdown, plot_series, report, table
from tests.reports import folders


def test_the_table_has_a_row_a_trial(mixed):
    rows = table.rows(report.make(mixed))
    assert [row['status'] for row in rows] == ['complete'] * 4 + ['failed', 'not begun']
    assert rows[0] == {
        'id': 'trial000',
        'status': 'complete',
        'reason': '',
        'model.beta': 0.5,
        'seed': 0,
        'step': 1000,
        'seconds': 90.0,
        'devices': 4,
        'device_kind': 'TPU v5e',
        'device_hours': 0.1,
        'commit': '0123456789abcdef',
        'time': '2026-01-01T12:00:00+0000',
        'config_fingerprint': 'f-trial000',
        'data_fingerprint': 'd' * 64,
        'best/nll/nll': rows[0]['vae/loss'],
        'test_nll/nll': rows[0]['vae/loss'],
        'test_nll/protocol': 'IWAE-5',
        'vae/loss': 0.5 + 10 / 300,
        'nll/nll': rows[0]['vae/loss'],
    }
    assert rows[5].keys() == rows[0].keys()
    assert rows[5]['test_nll/nll'] is None and rows[5]['seconds'] is None


def test_csv_and_parquet_hold_the_table(mixed, capsys, tmp_path):
    rows = table.rows(report.make(mixed))
    assert main(['report', str(mixed), '--format=csv']) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert read == [{k: '' if v is None else str(v) for k, v in row.items()} for row in rows]
    assert main(['report', str(mixed), f'--out={tmp_path}/table.parquet']) == 0
    assert pyarrow.parquet.read_table(tmp_path / 'table.parquet').to_pylist() == rows


def test_a_parquet_column_of_numbers_and_text_is_text(tmp_path):
    for number, rate in enumerate([0.5, 1, {'_target_': 'optax.constant_schedule'}]):
        folders.trial(tmp_path / 'sweep', number, {'optimizer.learning_rate': rate})
    rows = table.rows(report.make(tmp_path / 'sweep'))
    table.write_parquet(rows, tmp_path / 'table.parquet')
    read = pyarrow.parquet.read_table(tmp_path / 'table.parquet')
    rates = read['optimizer.learning_rate'].to_pylist()
    assert rates == ['0.5', '1', 'optax.constant_schedule']


def test_markdown_says_of_every_number_how_many_seeds_it_has(mixed):
    text = '\n'.join(markdown.lines(report.make(mixed)))
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.split('\n')]
    assert '6 trials: 4 complete, 1 failed, 1 not begun.' in text
    assert 'protocol: IWAE-5' in text
    # 1.5333 ± 4.3027 · .57735, by Student's t of two degrees of freedom.
    assert ['0.5', '3', '1.5333', '0.58', '[−0.9508, 4.0175]', ''] in cells
    assert ['400', '1', '400.03', '–', '–', 'seed 1 failed; seed 2 not begun'] in cells
    assert ['400 − 0.5', '1', '1', '399.5', '–', '–'] in cells
    lost = '`trial004` model.beta=400 seed=1: failed: step 9: &lt;b&gt;nan&lt;/b&gt; \\| "lost"'
    assert lost in text


def test_a_single_run_has_a_report(tmp_path, capsys):
    folders.run(tmp_path / 'vae', folders.config(), test={'test_nll/nll': 2.5}, name='r')
    assert main(['report', str(tmp_path / 'vae')]) == 0
    assert '| 1     | 2.5  | –          | –             |' in capsys.readouterr().out


def test_a_band_is_over_the_complete_trials_where_all_have_a_value(tmp_path):
    curves = [[1.0, 2.0, 3.0], [3.0, None, 5.0], [9.0, 9.0]]
    for number, values in enumerate(curves):
        records = [{'step': i, 'vae/loss': value} for i, value in enumerate(values)]
        result = ('complete', '') if number < 2 else ('stopped', '')
        folders.trial(tmp_path, number, {'seed': number}, records, result=result)
    (group,) = report.make(tmp_path).groups
    band = plot_series.band(group, 'vae/loss')
    np.testing.assert_array_equal(band.steps, [0, 2])
    np.testing.assert_allclose(band.mean, [2.0, 4.0])
    np.testing.assert_allclose(band.stderr, [1.0, 1.0])


@pytest.mark.parametrize(
    'values, numeric, log',
    [([1e-4, 1e-3], True, True), ([1.0, 9.0], True, False), ([0.0, 100.0], True, False),
     (['relu', 'silu'], False, False), ([True, False], False, False)],
)  # fmt: skip
def test_the_axis_is_logarithmic_where_values_span_a_decade(tmp_path, values, numeric, log):
    for number, value in enumerate(values):
        folders.trial(tmp_path, number, {'model.beta': value}, test={'test_nll/nll': 1.0})
    axis = plot_series.axis_of(report.make(tmp_path))
    assert (axis.numeric, axis.log) == (numeric, log)
    assert axis.numbers == (values if numeric else [0.0, 1.0])


def test_values_that_differ_little_lie_apart(tmp_path):
    values = [0.12345678, 0.12345679]
    for number, value in enumerate(values):
        folders.trial(tmp_path, number, {'model.beta': value}, test={'test_nll/nll': number})
    made = report.make(tmp_path)
    axis = plot_series.axis_of(made)
    assert axis.labels == ['0.12345678', '0.12345679']
    (line,) = plot_series.lines_of(made, 'test_nll/nll', axis)
    assert line.places == values


def test_thinned_curves_keep_their_last_point():
    for length in (1, 5, 119, 120, 121, 1000):
        points = plot_series.thin(range(length), 120)
        assert points[-1] == length - 1 and len(points) <= 120
    assert plot_series.thin([], 120) == []


@pytest.mark.full
def test_the_picture_has_a_row_a_metric(mixed, tmp_path):
    out = tmp_path / 'plot.png'
    sizes = []
    for metrics in ('test_nll/nll', 'test_nll/nll,vae/loss'):
        assert main(['report', str(mixed), f'--metric={metrics}', f'--out={out}']) == 0
        with Image.open(out) as image:
            pixels = np.asarray(image.convert('RGB'), float)
        sizes.append(pixels.shape[:2])
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50  # dots, lines and bands in colour
    assert sizes[1] == (2 * sizes[0][0], sizes[0][1])


@pytest.mark.parametrize('kind', ['md', 'html', 'csv', 'png', 'parquet'])
def test_a_sweep_of_which_nothing_is_complete_has_every_format(tmp_path, kind):
    for seed in range(2):
        records = [{'step': 1, 'vae/loss': 3.0}]
        folders.trial(tmp_path / 'runs', seed, {'seed': seed}, records, result=None)
    out = tmp_path / f'report.{kind}'
    assert main(['report', str(tmp_path / 'runs'), f'--out={out}']) == 0
    start = {'md': b'# runs', 'html': b'<!doctype', 'csv': b'id,', 'png': b'\x89PNG'}
    assert out.read_bytes().startswith(start.get(kind, b'PAR1'))


@pytest.mark.parametrize(
    'words, message',
    [
        (['--format=png'], '--format=png needs --out=FILE'),
        (['--format=pdf'], "invalid choice: 'pdf'"),
        (['--out=x.pdf'], '--out=x.pdf: a report ends in .md, .html'),
        (['--metric=test_nl/nll'], "did you mean 'test_nll/nll'?"),
        (['--by=beta'], "no field 'beta'; did you mean 'model.beta'?"),
        (['--out=/dev/null/x.html'], 'cannot write /dev/null/x.html'),
    ],
)
def test_a_mistake_is_one_line(mixed, capsys, words, message):
    assert main(['report', str(mixed), *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.count('\n') == 1 and message in captured.err


def test_a_report_that_cannot_be_made_leaves_the_one_before(tmp_path, capsys):
    folders.run(tmp_path / 'run', folders.config())
    out = tmp_path / 'plot.png'
    out.write_text('before')
    assert main(['report', str(tmp_path / 'run'), f'--out={out}']) == 2
    assert 'no metrics yet' in capsys.readouterr().err
    assert out.read_text() == 'before' and sorted(p.name for p in tmp_path.iterdir()) == [
        'plot.png',
        'run',
    ]
