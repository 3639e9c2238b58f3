"""Class labels 0..K-1 from numbers or names."""

from dataclasses import dataclass

import numpy as np

from genjax.errors import UserError, nearest

_SHOWN = 5  # classes that a message names


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        num: the number of classes.
        names: their names, in the order of the labels; None if the data have numbers only.
    """

    num: int
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, values: np.ndarray, where: str) -> 'Classes':
        """Returns the classes of labels [N]: names in sorted order ('2' before '10'), numbers as
        they are; -1 is unlabelled.

        Args:
            values: the labels.
            where: what they are, for messages.

        Raises:
            UserError: they are no labels, or numbers with gaps.
        """
        if values.dtype.kind in 'bUO':
            names = map(str, np.unique(values.astype(str)))
            names = tuple(
                sorted(names, key=lambda name: (int(name) if name.isdecimal() else -1, name))
            )
            return cls(len(names), names)
        if values.dtype.kind not in 'iu':
            raise UserError(f'{where} is {values.dtype}: labels are whole numbers, or text')
        found = np.unique(values)
        found = found[found != -1]
        missing = np.setdiff1d(np.arange(min(found.max(initial=0), len(found))), found)
        if not len(found) or found[0] < 0 or len(missing):
            shown = ', '.join(map(str, found[:_SHOWN])) + ', …' * (len(found) > _SHOWN)
            lacks = f', and {missing[0]} is not among them' if len(missing) else ''
            raise UserError(
                f'{where} has the labels {shown or "-1 only"}{lacks}: number the classes 0..K-1 '
                'without gaps, or store their names as text'
            )
        return cls(len(found))

    def labels(self, values: np.ndarray, where: str) -> np.ndarray:
        """Returns labels [N] as numbers, int32; raises UserError at one of no class."""
        if values.dtype.kind in 'iu':
            labels, outside = values, (values < -1) | (values >= self.num)
        elif self.names is None:
            raise UserError(f'{where} is {values.dtype}, and the training data have numbers')
        else:
            place = {name: label for label, name in enumerate(self.names)}
            names, which = np.unique(values.astype(str), return_inverse=True)
            labels = np.array([place.get(name, -1) for name in names], np.int32)[which]
            outside = labels < 0
        for row in np.flatnonzero(outside):
            value = str(values[row])
            guess = nearest(value, self.names or ())
            known = ', '.join((self.names or tuple(map(str, range(self.num))))[:_SHOWN])
            raise UserError(
                f'{where}: {value!r} of example {row} is none of the {self.num} classes of the '
                f'training data ({known}{", …" * (self.num > _SHOWN)}){guess}'
            )
        return labels.astype(np.int32)
