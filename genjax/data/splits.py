"""Selects the training, validation and test rows of a prepared TFDS data set."""

from genjax.errors import UserError, nearest

SPLITS = ('train', 'validation', 'test')
_VALIDATION_NAMES = ('validation', 'valid', 'val', 'dev')


def resolve(builder, chosen: dict[str, str | None]) -> dict[str, str | None]:
    """Returns the TFDS split expression of train, validation and test.

    Chosen splits are kept. Otherwise validation is the data set's own validation split or, without
    one, the last tenth of `train`, which is removed from it. TFDS stores rows in a fixed shuffled
    order, so the last tenth is a random sample, the same everywhere.

    Args:
        builder: a prepared TFDS builder.
        chosen: split expressions such as `'train[:50000]'`, or None, for each of `SPLITS`.

    Returns:
        The same keys; `test` is None if the data set has no such split.

    Raises:
        UserError: a split does not exist; splits overlap with training rows; or rows in the order
            of their source (perhaps sorted by class) would be held out.
    """
    names = list(builder.info.splits)
    splits = dict(chosen)
    if splits['train'] is None and 'train' not in names:
        raise UserError(
            f'the data set {builder.name!r} has no split "train", only {", ".join(names)}; '
            "name what to train on, for example train='all[:80%]'"
        )
    if splits['validation'] is None:
        own = [name for name in _VALIDATION_NAMES if name in names]
        if own:
            splits['validation'] = own[0]
        elif splits['train'] is None:
            if builder.info.disable_shuffling:
                raise UserError(
                    f'the data set {builder.name!r} has no validation split and its rows are not '
                    'shuffled, so that their end is no fair sample: name train and validation'
                )
            splits['train'], splits['validation'] = 'train[:90%]', 'train[90%:]'
        else:
            raise UserError(
                f'the data set {builder.name!r} has no validation split: where train is named '
                f"({splits['train']!r}), name validation too, for example 'train[50000:]'"
            )
    splits['train'] = splits['train'] or 'train'
    if splits['test'] is None and 'test' in names:
        splits['test'] = 'test'
    _check_apart(builder, splits)
    return splits


def _check_apart(builder, splits: dict[str, str | None]) -> None:
    pieces = {split: _pieces(builder, split, splits[split]) for split in SPLITS if splits[split]}
    for other in ('validation', 'test'):
        shared = sum(
            max(0, min(end, end_other) - max(start, start_other))
            for file, start, end in pieces['train']
            for file_other, start_other, end_other in pieces.get(other, ())
            if file == file_other
        )
        if shared:
            raise UserError(
                f'{shared} rows of {builder.name!r} are in train ({splits["train"]!r}) and in '
                f'{other} ({splits[other]!r})'
            )


def _pieces(builder, split: str, expression: str) -> list[tuple[str, int, int]]:
    """Returns the (file, first row, end row) that a split expression reads."""
    try:
        instructions = builder.info.splits[expression].file_instructions
    except (ValueError, KeyError) as error:
        names = list(builder.info.splits)
        guess = nearest(expression.partition('[')[0], names)
        reason = str(error).splitlines()[0]
        raise UserError(
            f'{split}={expression!r} of the data set {builder.name!r}: {reason}{guess}'
        ) from error
    return [(part.filename, part.skip, part.skip + part.take) for part in instructions]
