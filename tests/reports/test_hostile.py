"""What a folder of runs holds is text in every format, whatever it is."""

import base64
import csv
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from genjax.cli import main
from genjax.reports import page, report
from tests.reports import folders

SCRIPT = '</script><script>alert(1)</script><!--<script>'
EVIL = (
    '"><img src=x onerror=alert(1)> \x1b]8;;evil\x07 \u202e `|$\\frac{ ![x](http://e.vil) ' + SCRIPT
)


@pytest.fixture
def hostile(tmp_path):
    """A sweep whose names, values, results, errors and figures are all hostile."""
    folder = tmp_path / f'run <b> {EVIL}'.replace('/', '∕')
    for number in range(3):
        changes = {'model.beta': f'{number}{EVIL}', 'seed': f'{EVIL}{number}'}
        records = [
            {'step': step, 'vae/loss': 1.0 / step, f'x/{EVIL}': 2.0, 'nll/nll': 1}
            for step in (1, 2)
        ]
        test = {'test_nll/nll': 1.0 + number, 'test_nll/protocol': EVIL, f'{EVIL}/f': 1.0}
        start = folders.START | {
            'commit': f'<i>{EVIL}', 'devices': f'4 x {EVIL}', 'genjax': EVIL, 'python': EVIL,
            'packages': {EVIL: EVIL}, 'source': {'commit': EVIL},
        }  # fmt: skip
        result = [('complete', EVIL), (EVIL, EVIL), (f'failed{SCRIPT}', EVIL)][number]
        folders.trial(folder, number, changes, records, test, result, start=start)
        whole = folders.config(**changes)
        whole['model'][EVIL] = EVIL
        whole['model']['_target_'] = f'genjax.{EVIL}'
        path = folders.workdir(folder, number) / 'config.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | {'config': whole, 'data': EVIL}))
        folders.picture(folders.workdir(folder, number) / 'samples/1.png', 4)
    record = json.loads((folder / 'sweep.json').read_text())
    (folder / 'sweep.json').write_text(json.dumps(record | {'config': EVIL}))
    return folder


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self._in = [], {}, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_data(self, data):
        if self._in:
            self.text.setdefault(self._in[-1], []).append(data)


def test_the_page_has_no_element_attribute_or_script_of_theirs(hostile):
    html = page.html(report.make(hostile))
    found = Elements(html)
    known = """html head meta title style body main h1 h2 h3 p code div b span table thead tbody tr
      th td label select option input figure img figcaption br ul li details summary dl dt dd
      script"""
    assert {tag for tag, _ in found.tags} <= set(known.split())
    assert not [a for _, attributes in found.tags for a in attributes if a.startswith('on')]
    assert not [a for tag, a in found.tags if tag == 'img' and not a['src'].startswith('data:')]
    assert {a.get('class') for tag, a in found.tags if tag == 'span'} <= {
        None, 'id', 'complete', 'failed', 'stopped', '',
    }  # fmt: skip
    scripts = [attributes for tag, attributes in found.tags if tag == 'script']
    assert scripts == [{'type': 'application/json', 'id': 'data'}, {}]
    assert not set(html) & set('\x1b\x07\u202e')
    (data,) = re.findall(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert not set(data) & set('<>&') and any(SCRIPT in c for c in json.loads(data)['labels'])


def test_a_browser_runs_the_script_of_the_page_and_no_other(hostile):
    """The policy names the one script and the one style sheet by their content."""
    html = page.html(report.make(hostile))
    (policy,) = re.findall(r'Security-Policy" content="(.*?)"', html, re.DOTALL)
    assert 'unsafe' not in policy and "default-src 'none'" in policy
    assert "base-uri 'none'" in policy and "form-action 'none'" in policy
    for name, kind in (('script', 'script-src'), ('style', 'style-src')):
        (content,) = re.findall(f'<{name}>(.*?)</{name}>', html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert ' style=' not in html and "setAttribute('style'" not in html


def test_markdown_has_no_markup_of_theirs(hostile, capsys):
    assert main(['report', str(hostile)]) == 0
    text = capsys.readouterr().out
    assert not set(text) & set('\x1b\x07\u202e')
    prose = re.sub(r'`[^`\n]*`', '', text.replace('\\`', ''))
    assert '<' not in prose and '](' not in prose and '\\![x' in prose
    tables = [line for line in text.splitlines() if line.startswith('|')]
    cells = [len(re.findall(r'(?<!\\)\|', line)) for line in tables]
    assert len(tables) > 3 and len(set(cells[:4])) == 1


def test_a_table_has_no_formulas_or_commands(hostile, tmp_path, capsys):
    folders.trial(hostile, 3, {'model.beta': '=HYPERLINK("http://e.vil")', 'seed': 1})
    assert main(['report', str(hostile), '--format=csv']) == 0
    text = capsys.readouterr().out
    assert '\x1b' not in text
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1 and len(rows) == 5
    assert not [cell for row in rows for cell in row if cell.startswith('=')]


def test_plots_show_names_as_they_are(hostile, tmp_path):
    assert main(['report', str(hostile), f'--out={tmp_path / "plots.png"}']) == 0
    assert main(['report', str(hostile), f'--out={tmp_path / "rows.parquet"}']) == 0


@pytest.mark.parametrize(
    ('file', 'content'),
    [
        ('results/trial000.json', '[]'),
        ('results/trial000.json', '{"status": 1, "reason": "", "seconds": 1}'),
        ('results/trial000.json', '{"status": "complete", "reason": "", "seconds": "<b>"}'),
        ('results/trial000.json', '[' * 100_000),
        ('trials/trial000/config.json', '{"config": 1}'),
        ('trials/trial000/config.json', '{"config": {"steps": "x"}, "starts": []}'),
        ('trials/trial000/config.json', '{"config": {"steps": 1}, "starts": [{"time": 3}]}'),
        ('trials/trial000/metrics.jsonl', '{"step": 1, "a": "<b>"}\n'),
        ('trials/trial000/evaluations/1.json', '{"step": "<b>", "figures": {}, "config": "f"}'),
        ('sweep.json', '{"config": "x", "trials": [{"id": "../../etc", "changes": {}}]}'),
        ('sweep.json', '{"config": "x", "trials": [{"id": 1, "changes": {}}]}'),
        ('sweep.json', '{"config": "x", "trials": {"a": 1}}'),
        ('sweep.json', '[]'),
    ],
)  # fmt: skip
def test_a_file_that_holds_something_else_is_a_line(tmp_path, capsys, file, content):
    folders.trial(tmp_path, 0, {'seed': 1}, [{'step': 1, 'a': 1.0}], {'test_nll/nll': 1.0})
    folders.write(tmp_path / file, content.replace('"f"', '"f-trial000"'))
    assert main(['report', str(tmp_path), '--format=html']) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_numbers_beyond_floats_and_other_values_of_fields(tmp_path):
    for number, value in enumerate([float('nan'), float('inf'), 10**400, [[{'a': [1]}]], None]):
        folders.trial(tmp_path, number, {'model.beta': value}, test={'test_nll/nll': 1e308})
    html = page.html(report.make(tmp_path))
    assert json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_only_sound_pictures_of_the_run_are_copied(tmp_path):
    """Not what a link leads to, nor what else a file holds."""
    secret = tmp_path / 'secret.png'
    Image.new('RGB', (4, 4), 'red').save(secret)
    folder = tmp_path / 'sweep'
    for number in range(4):
        folders.trial(folder, number, {'model.beta': float(number)}, test={'test_nll/nll': 1.0})
        samples = folders.workdir(folder, number) / 'samples'
        samples.mkdir()
        if number == 0:
            (samples / '5.png').symlink_to(secret)
        elif number == 1:
            (samples / '5.png').write_text('<svg onload=alert(1)>')
        else:
            Image.new('L', (4, 4)).save(samples / '5.png')
            with (samples / '5.png').open('ab') as file:
                file.write(b'<script>' if number == 3 else b'')
    html = page.html(report.make(folder))
    found = re.findall(r'<img src="data:image/png;base64,(.*?)"', html)
    assert len(found) == 2
    assert not any(b'<script>' in base64.b64decode(content) for content in found)
