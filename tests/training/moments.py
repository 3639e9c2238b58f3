"""Runs that are stopped at random moments, started again, and compared with one that was not."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter

from genjax.errors import EXIT_INTERRUPTED, EXIT_PEER
from genjax.records import TIMES
from genjax.training import loading as runs
from tests.training.conftest import arguments, assert_same, steps_saved
from tests.training.processes import said


class Moments:
    """A run of `count` processes, stopped again and again; when it is complete another one begins.

    Attributes:
        outcomes: how often a stopped run said what.
        complete: how many runs were completed, each of them the same as the undisturbed one.
    """

    def __init__(self, processes, folder, family, count, seed, rehearsals=0):
        """Makes the undisturbed run, after others that fill the cache of compiled programs."""
        self.outcomes = Counter()
        self.complete = 0
        self._processes, self._folder = processes, folder
        self._family, self._count = family, count
        self._random = random.Random(f'{seed} {family} {count}')
        folder.mkdir(parents=True)
        self._run = self._whole = folder / 'whole'
        for _ in range(rehearsals + 1):
            shutil.rmtree(self._whole, ignore_errors=True)
            start = time.monotonic()
            children = self._start(self._whole)
            self._wait_for_a_step(0, 120)
            self._starting = time.monotonic() - start
            assert self._finish(children) == [0] * count, self._said()
            self._going = time.monotonic() - start - self._starting
        self._begin()

    @property
    def stopped(self):
        """How many moments have come before the end of a run."""
        return sum(self.outcomes.values()) - self.outcomes['complete already']

    def terminate(self):
        """SIGTERM, or Ctrl-C, to one process or to all."""
        children = self._start_and_wait()
        number = self._random.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGINT])
        for child in self._some(children):
            os.kill(child, number)
        statuses = self._finish(children)
        if statuses == [0] * self._count:
            self.outcomes['complete already'] += 1
            return self._compare()
        line = self._said()[-1]
        unmet = 'did not come' in line or 'found no process 0' in line
        assert statuses == [EXIT_INTERRUPTED] * self._count or (
            unmet and sorted(statuses) == [EXIT_PEER, EXIT_INTERRUPTED]
        ), self._said()
        at_once = 'stopped at once' in line or unmet
        what = 'before they had met' if unmet else 'nothing to save' if at_once else 'saved'
        self.outcomes[what] += 1
        saved = max(steps_saved(self._run), default=0)
        assert _last_step(self._run) <= saved, f'{_last_step(self._run)} steps, {saved} saved'
        assert at_once or f'saved step {saved} of ' in line, line
        return None

    def kill(self):
        """`kill -9` of one process or of all; every other one waits for a save to be under way."""
        children = self._start_and_wait()
        aimed = self._random.random() < 0.5
        deadline = time.monotonic() + self._going
        while aimed and not self._is_saving() and time.monotonic() < deadline:
            time.sleep(0.0005)
        before = max(steps_saved(self._run), default=0)
        killed = self._some(children)
        for child in killed:
            os.kill(child, signal.SIGKILL)
        statuses = self._finish(children)
        if statuses == [0] * self._count:
            self.outcomes['complete already'] += 1
            return self._compare()
        for child, status in zip(children, statuses, strict=True):
            # Others may be through already, or not have met yet.
            expected = (-signal.SIGKILL, 0) if child in killed else (EXIT_PEER, 2, 0)
            assert status in expected, (statuses, self._said())
        assert max(steps_saved(self._run), default=0) >= before, 'the newest checkpoint is lost'
        self.outcomes['in a save' if self._is_saving() else 'not in a save'] += 1
        return None

    def complete_the_last(self):
        """Lets the run that was stopped last come to its end."""
        assert self._finish(self._start(self._run)) == [0] * self._count, self._said()
        self._compare()

    def _begin(self):
        self._run = self._folder / f'run{self.complete}'

    def _start(self, workdir):
        self._log = self._folder / f'log{time.monotonic_ns()}'
        words = arguments(workdir, family=self._family, log_every=3)
        if self._count == 1:
            return [self._processes.start(words, f'{self._log}.0')]
        return self._processes.start_together(self._count, words, self._log, start_timeout=20)

    def _start_and_wait(self):
        """Starts the run and waits for a moment: every other time one before the first step of this
        start, and else one after it.
        """
        before = _last_step(self._run)
        children = self._start(self._run)
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0.02, self._starting))
        else:
            self._wait_for_a_step(before, 2 * (self._starting + self._going))
            time.sleep(self._random.uniform(0, self._going))
        return children

    def _wait_for_a_step(self, before, seconds):
        deadline = time.monotonic() + seconds
        while _last_step(self._run) <= before and time.monotonic() < deadline:
            time.sleep(0.002)

    def _finish(self, children):
        return [self._processes.wait(child) for child in children]

    def _said(self):
        return [line for index in range(self._count) for line in said(f'{self._log}.{index}')]

    def _some(self, children):
        return children if self._random.random() < 0.5 else [self._random.choice(children)]

    def _is_saving(self):
        return any((self._run / 'checkpoints').glob('*tmp*'))

    def _compare(self):
        """A completed run is the undisturbed one: state, metrics, figures and pictures."""
        run, whole = self._run, self._whole
        for step in ('latest', 'best'):
            found, expected = runs.load(run, step), runs.load(whole, step)
            assert found.step == expected.step
            assert_same(found.state, expected.state)
        assert _records(run) == _records(whole)
        for pattern in ('samples/*', 'reconstructions/*'):
            files = sorted(path.relative_to(whole) for path in whole.glob(pattern))
            found = sorted(path.relative_to(run) for path in run.glob(pattern))
            assert files == found, set(files) ^ set(found)
            for file in files:
                assert (run / file).read_bytes() == (whole / file).read_bytes(), file
        assert not (run / 'damaged_checkpoints').exists()
        assert not list((run / 'checkpoints').glob('*tmp*'))
        shutil.rmtree(run)
        self.complete += 1
        self._begin()


def _records(workdir):
    lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def _last_step(workdir):
    """The last step whose metrics are written."""
    try:
        return max((record['step'] for record in _records(workdir)), default=0)
    except (OSError, ValueError):
        return 0
