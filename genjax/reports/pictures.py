"""Images of samples and reconstructions, embedded in a page."""

import base64
import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from genjax.reports.load import Trial
from genjax.reports.report import Report
from genjax.reports.statistics import Group, order

KINDS = ('samples', 'reconstructions', 'translations', 'neighbours')

_MOST = 36
_LARGEST = 640  # pixels; larger images are scaled down


def of(report: Report, kind: str) -> tuple[list[tuple[Group, Trial, int, str]], int]:
    """Last image of one trial per group: the complete trial with the lowest seed, if any.

    Returns:
        Group, trial, step and data URI for the first groups with an image, and the number of
        further groups with one.
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
    """Returns whether a file is a valid PNG inside the run folder, not a link out of it."""
    inside = path.resolve().is_relative_to(trial.workdir.resolve())
    if not (inside and path.stem.isdecimal() and path.stem.isascii() and path.is_file()):
        return False
    try:
        with warnings.catch_warnings(action='error'), _opened(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with path.open('rb') as file, Image.open(file, formats=('PNG',)) as image:
        yield image


def _uri(path: Path) -> str:
    """Re-encodes the pixels as a data URI, dropping metadata."""
    file, kind = io.BytesIO(), 'png'
    with _opened(path) as image:
        pixels = image.convert('L' if image.mode == 'L' else 'RGB')
    if max(pixels.size) > _LARGEST:
        pixels.thumbnail((_LARGEST, _LARGEST))
        kind = 'jpeg'
    pixels.save(file, kind, quality=88)
    content = file.getvalue()
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
