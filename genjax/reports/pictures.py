"""Pictures of samples and reconstructions, as they can stand inside a page."""

import base64
import io
import warnings
from pathlib import Path

from PIL import Image

from genjax.reports.load import Trial
from genjax.reports.report import Report
from genjax.reports.statistics import Group, order

KINDS = ('samples', 'reconstructions', 'translations')

_MOST = 36
_LARGEST = 640  # pixels; larger ones are made smaller


def of(report: Report, kind: str) -> tuple[list[tuple[Group, Trial, int, str]], int]:
    """The last picture of one trial of each group: the complete one with the lowest seed, if any.

    Returns:
        The group, trial, step and a data URI of the first groups that have one, and how many more
        have.
    """
    found = []
    for group in report.groups:
        trials = sorted(group.trials, key=lambda t: (t.status != 'complete', order(t.seed)))
        for trial in trials:
            paths = [p for p in (trial.workdir / kind).glob('*.png') if _is_of(trial, p)]
            if paths:
                found.append((group, trial, max(int(p.stem) for p in paths)))
                break
    first = [
        (group, trial, step, _uri(trial.workdir / kind / f'{step}.png'))
        for group, trial, step in found[:_MOST]
    ]
    return first, len(found) - len(first)


def _is_of(trial: Trial, path: Path) -> bool:
    """Whether a file is a sound PNG that lies in the folder of the run, and not a link out of
    it.
    """
    inside = path.resolve().is_relative_to(trial.workdir.resolve())
    if not (inside and path.stem.isdecimal() and path.stem.isascii() and path.is_file()):
        return False
    try:
        with warnings.catch_warnings(action='error'), Image.open(path, formats=('PNG',)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return False
    return True


def _uri(path: Path) -> str:
    """A copy of its pixels alone, without what else the file may hold."""
    file, kind = io.BytesIO(), 'png'
    with Image.open(path, formats=('PNG',)) as image:
        pixels = image.convert('L' if image.mode == 'L' else 'RGB')
    if max(pixels.size) > _LARGEST:
        pixels.thumbnail((_LARGEST, _LARGEST))
        kind = 'jpeg'
    pixels.save(file, kind, quality=88)
    content = file.getvalue()
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
