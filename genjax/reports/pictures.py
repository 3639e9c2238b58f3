"""Pictures of samples and reconstructions, as they can stand inside a page."""

import base64
import io
from pathlib import Path

from PIL import Image

from genjax.reports.reading import Trial
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
            steps = [
                int(p.stem) for p in (trial.workdir / kind).glob('*.png') if p.stem.isdecimal()
            ]
            if steps:
                found.append((group, trial, max(steps)))
                break
    first = [
        (group, trial, step, _uri(trial.workdir / kind / f'{step}.png'))
        for group, trial, step in found[:_MOST]
    ]
    return first, len(found) - len(first)


def _uri(path: Path) -> str:
    content, kind = path.read_bytes(), 'png'
    with Image.open(io.BytesIO(content)) as image:
        if max(image.size) > _LARGEST:
            smaller = image.convert('RGB')
            smaller.thumbnail((_LARGEST, _LARGEST))
            file = io.BytesIO()
            smaller.save(file, 'jpeg', quality=88)
            content, kind = file.getvalue(), 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
