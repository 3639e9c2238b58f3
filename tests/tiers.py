"""Parameters of the full tier."""

import pytest


def full(*values, id=None):
    """A parameter of a test that is run with `--full` only."""
    return pytest.param(*values, id=id, marks=pytest.mark.full)


def few(cases, kept):
    """The parameters of a test, names or values by name: those not `kept` are of the full tier."""
    values = cases if isinstance(cases, dict) else {case: case for case in cases}
    return [
        pytest.param(value, id=str(name), marks=[] if name in kept else pytest.mark.full)
        for name, value in values.items()
    ]
