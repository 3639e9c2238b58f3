"""The files in `launch/`, templates for launchers."""

from pathlib import Path

import genjax


def template(name: str) -> Path:
    """Path of a template: inside an installed package, or beside it in a checkout."""
    package = Path(genjax.__file__).parent
    installed = package / 'launch' / name
    return installed if installed.exists() else package.parent / 'launch' / name
