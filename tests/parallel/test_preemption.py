"""A signal at any moment: one step is saved, the status is 75, and nothing shows in the end.

`experiments/preemption` does it more often.
"""

import signal
import subprocess
import sys
import threading
import time

import pytest

from genjax.errors import Interrupted
from genjax.parallel.preemption import Preemption, Stop, sync_point
from tests.tiers import full
from tests.training.moments import Moments

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ('family', 'count', 'times'), [('eventful', 1, 1), full('eventful_gan', 2, 1)]
)
def test_runs_that_are_stopped_at_random_moments(family, count, times, processes, tmp_path):
    moments = Moments(processes, tmp_path / 'runs', family, count, seed=0)
    for _ in range(times):
        moments.terminate()
    moments.complete_the_last()


@pytest.mark.full
@pytest.mark.parametrize(('family', 'count'), [('eventful', 2), ('eventful_gan', 1)])
def test_more_runs_that_are_stopped_at_random_moments(family, count, processes, tmp_path):
    moments = Moments(processes, tmp_path / 'runs', family, count, seed=1)
    for _ in range(6):
        moments.terminate()
        moments.kill()
    moments.complete_the_last()


def test_before_there_are_steps_and_when_all_are_saved_a_signal_ends_the_work_at_once():
    for begin in (lambda _: None, lambda i: (i.sync_point(), i.saved())):
        with pytest.raises(Interrupted, match='SIGTERM: stopped at once'), Preemption() as i:
            begin(i)
            signal.raise_signal(signal.SIGTERM)
            pytest.fail('it went on')


def test_in_between_it_ends_at_the_next_point_also_of_an_evaluation():
    with Preemption() as interruption:
        sync_point()  # nothing to do with an evaluation that loses no steps
        interruption.sync_point()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stop):
            sync_point()
        with pytest.raises(Stop):  # and stays so
            interruption.sync_point()
        assert interruption.reason == 'SIGTERM'


def test_a_second_ctrl_c_does_not_wait_for_the_point():
    with pytest.raises(Interrupted, match='Ctrl-C: stopped at once'), Preemption() as i:
        i.sync_point()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail('it went on')


def test_several_stop_after_the_point_that_the_first_of_them_has_passed():
    with Preemption() as interruption:
        announced = []
        interruption.announce = announced.append
        interruption.sync_point()
        signal.raise_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while not announced:
            assert time.monotonic() < deadline
        assert announced == ['SIGTERM']
        interruption.sync_point()  # asking takes no time from the work
        assert interruption.pause() == 2
        passed = threading.Event()
        threading.Timer(0.3, interruption.stop_after, (4, 'SIGTERM')).start()
        threading.Timer(0.1, passed.set).start()
        start = time.monotonic()
        interruption.sync_point()  # stands still until it is known
        assert time.monotonic() - start > 0.2
        interruption.sync_point()
        with pytest.raises(Stop):
            interruption.sync_point()


def test_several_that_have_no_steps_to_save_end_at_once():
    with pytest.raises(Interrupted, match='SIGTERM: stopped at once'), Preemption() as i:
        i.announce = lambda reason: i.stop_after(i.pause(), reason)
        signal.raise_signal(signal.SIGTERM)
        for _ in range(1000):  # a signal just before a sleep does not end it
            time.sleep(0.01)
        pytest.fail('it went on')


def test_a_process_busy_in_compiled_code_ends_all_the_same():
    code = """
import hashlib, signal, threading
from genjax.parallel import preemption
preemption.GRACE = 0.1
with preemption.Preemption():
    threading.Timer(0.2, signal.raise_signal, (signal.SIGTERM,)).start()
    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)  # minutes, in which no handler runs
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 75
    assert done.stderr.startswith('genjax: SIGTERM: stopped at once')
