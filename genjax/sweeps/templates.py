"""The files in `launch/` that launchers start from."""

from pathlib import Path

import genjax


def template(name: str) -> Path:
    """The path of such a file: in the package where that was installed, beside it in a checkout."""
    package = Path(genjax.__file__).parent
    installed = package / 'launch' / name
    return installed if installed.exists() else package.parent / 'launch' / name
