"""Every second of a run has one use."""

import time

import pytest

from genjax.records import shares
from genjax.records import timesheet as timesheet_of
from genjax.training.timesheet import Timesheet


@pytest.fixture
def clock(monkeypatch):
    """Clocks that stand still but for `clock(seconds)`."""

    class Clock:
        now = 1000.0

        def __call__(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(time, 'time', lambda: clock.now)
    monkeypatch.setattr(time, 'monotonic', lambda: clock.now - 900)
    return clock


def test_two_processes_and_what_is_between_them(clock, tmp_path):
    sheet = Timesheet(tmp_path, began=clock.now - 3)
    clock(2)
    sheet.switch('compile')
    clock(10)
    for step in range(1, 6):
        sheet.step(step)
        clock(4)
    sheet.move(1.5, 'data')
    with sheet.used_for('evaluation'):
        clock(7)
        with sheet.used_for('checkpoint'):
            clock(1)
        clock(1)
    clock(2)
    sheet.write(5)
    assert sheet.goodput == 20.5 / 46
    clock(0.5)
    sheet.write(5)  # less than a second later
    clock(100)  # it was killed: of what it did since, nothing is known

    sheet = Timesheet(tmp_path, began=clock.now)
    clock(6)
    for step in range(4, 8):  # from the checkpoint of step 3
        sheet.step(step)
        clock(4)
    sheet.write(7, now=True)
    found = timesheet_of(tmp_path)
    assert found['step'] == 7
    assert found['seconds'] == {
        'start': 5 + 6 + 2 * 4,
        'compile': 10,
        'data': 1.5,
        'step': 20.5 + 2 * 4,
        'evaluation': 8,
        'checkpoint': 1,
        'idle': 100.5,
    }
    assert found['until'] == clock.now
    assert shares(found['seconds']).startswith('168 s: idle 59.6%, step 16.9%, start 11.3%')


@pytest.mark.parametrize('text', ['', '[]', '{"seconds": 3}', '{"seconds": {"step": "a"}}'])
def test_a_damaged_file_is_none(text, tmp_path):
    (tmp_path / 'timesheet.json').write_text(text)
    assert timesheet_of(tmp_path) == {}
    assert Timesheet(tmp_path, time.time()).seconds.keys() == {'start'}
