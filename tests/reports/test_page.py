"""The page is one file, and a browser shows it without an error or a request."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from genjax.reports import page, report
from tests.reports import folders

BROWSER = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)


def data_of(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


class Elements(HTMLParser):
    """Collects elements with their attributes, and checks that they are closed in order."""

    EMPTY = ('meta', 'br', 'img', 'input')

    def __init__(self, html):
        super().__init__()
        self.found, self._open = [], []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def test_it_refers_to_nothing_outside(mixed):
    html = page.html(report.make(mixed))
    for tag, attributes in Elements(html).found:
        assert tag not in ('link', 'iframe', 'object', 'base')
        assert attributes.get('src', 'data:').startswith('data:') and 'href' not in attributes
    assert 'url(' not in html and '@import' not in html
    assert "default-src 'none'" in html


def test_what_runs_say_is_text(mixed):
    html = page.html(report.make(mixed))
    assert 'step 9: &lt;b&gt;nan&lt;/b&gt; | &quot;lost&quot; &lt;/script&gt;' in html
    assert '<b>nan</b>' not in html and html.count('</script>') == 2


def test_what_configs_hold_is_text(tmp_path):
    for number, name in enumerate(['<i>a</i>', '"b"']):
        folders.trial(tmp_path, number, {'model.beta': name}, test={'test_nll/nll': 1.0})
        folders.picture(folders.workdir(tmp_path, number) / 'samples/1.png', 8)
    tags = [tag for tag, _ in Elements(page.html(report.make(tmp_path))).found]
    assert 'img' in tags and 'i' not in tags


def test_it_tells_what_the_results_depend_on(mixed):
    html = page.html(report.make(mixed))
    for text in ('0123456789abcdef', 'd' * 64, '4 x TPU v5e', '3.12.0', '2026-01-01', 'IWAE-5'):
        assert text in html
    assert '<b>4 / 6</b>' in html and 'seed 1 failed; seed 2 not begun' in html


def test_its_plots_hold_every_seed_and_every_curve(mixed):
    data = data_of(page.html(report.make(mixed)))
    (line,) = data['values']['test_nll/nll']['lines']
    assert [(point['x'], point['n']) for point in line['points']] == [(0.5, 3), (400.0, 1)]
    assert [seed for seed, _ in line['points'][0]['seeds']] == [0, 1, 2]
    low, high = data['curves']['vae/loss']
    assert data['grids'][low['grid']] == [100, 200, 300]
    assert low['mean'] == pytest.approx([1.6, 1.55, 1.5333])
    assert [trial['complete'] for trial in high['trials']] == [True, False]


def test_pictures_are_of_the_first_complete_trial_and_not_large(mixed):
    images = [a for tag, a in Elements(page.html(report.make(mixed))).found if tag == 'img']
    assert [a['alt'] for a in images] == ['samples model.beta=0.5', 'samples model.beta=400']
    assert all(a['src'].startswith('data:image/jpeg;base64,') for a in images)


def test_two_commits_are_counted(mixed):
    record = folders.workdir(mixed, 0) / 'config.json'
    record.write_text(record.read_text().replace('0123456789abcdef', 'fedcba'))
    html = page.html(report.make(mixed))
    assert '0123456789abcdef (4 of 5); fedcba (1 of 5)' in html


@pytest.mark.skipif(BROWSER is None, reason='needs chromium or google-chrome')
@pytest.mark.parametrize('width', [1200, 390])
def test_a_browser_draws_it_without_an_error_or_a_request(mixed, tmp_path, width):
    """Anything from outside would be refused by the page's own policy, which the console tells."""
    file = tmp_path / 'page.html'
    file.write_text(page.html(report.make(mixed)), 'utf-8')
    shown = subprocess.run(
        [
            BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
            f'--user-data-dir={tmp_path}/profile', f'--window-size={width},900',
            '--virtual-time-budget=2000', '--dump-dom', file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert 'CONSOLE' not in shown.stderr
    charts = re.findall(r'<svg .*?</svg>', shown.stdout, re.DOTALL)
    values, curves = charts
    assert values.count('<circle') == 2 + 4  # means and seeds
    assert curves.count('stroke-dasharray="2 3"') == 0  # the failed trial has no validation
    assert len(re.findall('aria-pressed="true"', shown.stdout)) == 2


@pytest.mark.skipif(BROWSER is None, reason='needs chromium or google-chrome')
def test_the_console_would_tell(tmp_path):
    """The check above can fail."""
    html = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    file = tmp_path / 'page.html'
    file.write_text(f'{html}<img src="https://example.invalid/x.png">', 'utf-8')
    shown = subprocess.run(
        [
            BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
            f'--user-data-dir={tmp_path}/profile', '--virtual-time-budget=2000', '--dump-dom',
            file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert 'CONSOLE' in shown.stderr
