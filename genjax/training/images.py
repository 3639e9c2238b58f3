"""Images of samples, reconstructions and translations during training."""

from pathlib import Path

import numpy as np

from genjax.data.pipeline import random_subset
from genjax.evaluation.copying import nearest
from genjax.models.base import HasEncoder, HasTranslation, Variables
from genjax.parallel import distributed
from genjax.sampling import images
from genjax.sampling.apply import reconstruct, translate
from genjax.sampling.draw import draw, needs_context
from genjax.training.experiment import Experiment


def image_kinds(experiment: Experiment) -> tuple[str, ...]:
    """Kinds of images of a model: 'samples' and, with an encoder, 'reconstructions'; 'translations'
    alone for a translator; none for a model that draws no samples, or if the data are neither
    images nor points in the plane.
    """
    if isinstance(experiment.model, HasTranslation):
        return ('translations',)
    if not callable(getattr(experiment.model, 'sample', None)):
        return ()
    shape = _shown_shape(experiment)
    if shape != (2,) and (len(shape) != 3 or shape[-1] not in images.MODES):
        return ()
    has_encoder = isinstance(experiment.model, HasEncoder)
    return ('samples', 'reconstructions') if has_encoder else ('samples',)


def write_images(
    experiment: Experiment, variables: Variables, workdir: Path, step: int
) -> dict[str, Path]:
    """Writes `<kind>/<step>.png` for each kind of `image_kinds`, in process 0.

    Returns:
        The files by kind.
    """
    written = {}
    for kind in image_kinds(experiment):
        x, reference, caption = _drawn(kind, experiment, variables)
        written[kind] = workdir / kind / f'{step}.png'
        if distributed.is_first():
            images.save(written[kind], x, reference, f'{caption}, step {step:,}')
    return written


def write_neighbours(
    experiment: Experiment, variables: Variables, workdir: Path, step: int
) -> Path | None:
    """Writes `neighbours/<step>.png`, samples below the training examples nearest to them in
    Euclidean distance, in process 0; None if the data are not images.
    """
    if 'samples' not in image_kinds(experiment) or _shown_shape(experiment) == (2,):
        return None
    model, preprocess, num = (
        experiment.model,
        experiment.preprocess,
        -(-experiment.num_samples // 2),
    )
    context = _held_out(experiment, num)['context'] if needs_context(model) else None
    x = draw(model, variables, num, experiment.seed, context=context, preprocess=preprocess)
    train = experiment.dataset.source('train')
    train = train[np.arange(len(train))]['x']
    _, index = nearest(x, train)
    path = workdir / 'neighbours' / f'{step}.png'
    if distributed.is_first():
        caption = f'nearest training examples above samples, step {step:,}'
        images.save(path, x, preprocess.show(train[index]), caption)
    return path


def _drawn(
    kind: str, experiment: Experiment, variables: Variables
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Images, images to compare them with, and a caption."""
    model, preprocess, num = experiment.model, experiment.preprocess, experiment.num_samples
    if kind == 'samples':
        caption = images.sample_caption(model)
        if needs_context(model):
            held_out = _held_out(experiment, -(-num // 2))
            num, reference = len(held_out['x']), preprocess.show(held_out['x'])
            given, caption = (
                {'context': held_out['context']},
                f'data above {caption}, of the same contexts',
            )
        else:
            in_plane, given = _shown_shape(experiment) == (2,), {}
            reference = preprocess.show(_held_out(experiment, num)['x']) if in_plane else None
        x = draw(model, variables, num, experiment.seed, **given, preprocess=preprocess, means=True)
        return x, reference, caption
    held_out = _held_out(experiment, -(-num // 2))
    reference = held_out['x']
    if kind == 'translations':
        reference = reference[:, 0]
        x = translate(model, preprocess, variables, reference, seed=experiment.seed)
        return x, reference, 'data above their translations'
    given = {'context': held_out['context']} if needs_context(model) else {}
    x = reconstruct(model, preprocess, variables, reference, experiment.seed, **given)
    return x, preprocess.show(reference), 'data above their reconstructions'


def _shown_shape(experiment: Experiment) -> tuple[int, ...]:
    return experiment.preprocess.shown_shape or experiment.dataset.event_shape


def _held_out(experiment: Experiment, num: int) -> dict[str, np.ndarray]:
    source = experiment.dataset.source('validation')
    return source[random_subset(len(source), num)]
