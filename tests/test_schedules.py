"""Schedules against the steps that they describe."""

import jax
import pytest

from genjax.schedules import staircase


def test_staircase():
    schedule = jax.jit(staircase((3.0, 2.0, 1.0), (2, 1, 4)))
    assert [float(schedule(step)) for step in range(9)] == [3, 3, 2, 1, 1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match='lengths'):
        staircase((1.0,), (1, 2))
