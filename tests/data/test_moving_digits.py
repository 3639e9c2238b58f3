"""The next frame of a moving digit, against enumeration."""

import itertools

import numpy as np
import pytest

from genjax.data import MovingDigits
from genjax.data.toy import moving_digits as world
from genjax.errors import UserError

ROWS = MovingDigits(train_size=10).source('test')[np.arange(2000)]


def slow_log_prob(frames):
    """Log-probability of the last of three frames [3, 10, 10] given the others, by loops."""
    clean = {
        (digit, row, column): np.pad(glyph, ((row, 5 - row), (column, 7 - column)))
        for digit, glyph in enumerate(world._GLYPHS)
        for row, column in itertools.product(range(6), range(8))
    }
    like = [
        {state: np.prod(np.where(frame == screen, 0.98, 0.02)) for state, screen in clean.items()}
        for frame in frames
    ]
    steps = list(itertools.product((-1, 0, 1), repeat=2))

    def moves(row, column, step):
        for new in steps:
            chance = 0.1 / 9 + 0.9 * (new == step)
            down = new[0] if 0 <= row + new[0] <= 5 else -new[0]
            right = new[1] if 0 <= column + new[1] <= 7 else -new[1]
            yield chance, row + down, column + right, (down, right)

    two, three = 0.0, 0.0
    for (digit, row, column), first in like[0].items():
        if first < 1e-12 * max(like[0].values()):
            continue
        for step in steps:
            for p, row_2, column_2, step_2 in moves(row, column, step):
                joint = first * p * like[1][digit, row_2, column_2]
                two += joint
                for q, row_3, column_3, _ in moves(row_2, column_2, step_2):
                    three += joint * q * like[2][digit, row_3, column_3]
    return np.log(three / two)


def test_the_probability_is_that_of_enumeration():
    found = MovingDigits().log_prob(ROWS['x'][:4], ROWS['context'][:4])
    frames = np.concatenate([ROWS['context'], ROWS['x']], axis=-1)[:4]
    wanted = [slow_log_prob(np.moveaxis(each, -1, 0)) for each in frames]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_the_true_model_beats_all_others_on_its_frames():
    """Its mean is the entropy: noise, and at most that of the next step."""
    nats = -np.asarray(MovingDigits().log_prob(ROWS['x'], ROWS['context']), np.float64)
    noise = 100 * -(0.02 * np.log(0.02) + 0.98 * np.log(0.98))
    keep = 0.9 + 0.1 / 9
    turn = -(keep * np.log(keep) + 8 * 0.1 / 9 * np.log(0.1 / 9))
    error = nats.std() / np.sqrt(len(nats))
    # Given the state, the noise and at most the turn, less at a wall; not to know it costs more.
    assert noise + turn / 2 - 4 * error < nats.mean() < noise + 2.5 * turn + 4 * error
    others = -np.asarray(MovingDigits().log_prob(np.roll(ROWS['x'], 1, axis=0), ROWS['context']))
    assert others.mean() > nats.mean() + 20


def test_frames_are_digits_with_flipped_pixels_and_move_by_at_most_one():
    frames = np.moveaxis(np.concatenate([ROWS['context'], ROWS['x']], axis=-1)[:300], -1, 0)
    clean = world.screens().reshape(-1, 100).astype(np.float32)
    distance = (frames.reshape(3, -1, 1, 100) != clean[:, :]).sum(-1)
    assert distance.min(axis=-1).mean() == pytest.approx(2, abs=0.2)
    digit, place = np.divmod(distance.argmin(axis=-1), 48)
    assert np.mean(digit[0] == digit[2]) > 0.85
    row, column = np.divmod(place, 8)
    assert np.mean(np.abs(np.diff(row, axis=0)) <= 1) > 0.95
    assert np.mean(np.abs(np.diff(column, axis=0)) <= 1) > 0.95
    assert set(np.unique(row)) == set(range(6)) and set(np.unique(column)) == set(range(8))


def test_splits_differ_and_mistakes_are_named():
    data = MovingDigits(train_size=100)
    parts = [data.source(s)[np.arange(100)]['x'] for s in ('train', 'validation', 'test')]
    assert not np.array_equal(parts[0], parts[1]) and not np.array_equal(parts[1], parts[2])
    with pytest.raises(UserError, match="no split 'tset'"):
        data.source('tset')
