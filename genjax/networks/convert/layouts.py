"""How an array of ours becomes one or several of PyTorch's, and back."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genjax.errors import UserError


class Layout(NamedTuple):
    """A one-to-one change of layout.

    Attributes:
        split: our array -> their arrays.
        join: their arrays -> our array.
    """

    split: Callable[[np.ndarray], list[np.ndarray]]
    join: Callable[[list[np.ndarray]], np.ndarray]

    def after(self, to: Callable, back: Callable) -> 'Layout':
        """Returns the layout of `to(ours)`; `back` is the inverse of `to`."""
        return Layout(lambda a: self.split(to(a)), lambda parts: back(self.join(parts)))


class Entry(NamedTuple):
    """Their names of one of our parameters, and its layout."""

    names: list[str]
    layout: Layout


PLAIN = Layout(lambda a: [a], lambda parts: parts[0])
DENSE = PLAIN.after(np.transpose, np.transpose)
"""A kernel [in, out] as [out, in]."""

CONV = PLAIN.after(lambda a: a.transpose(3, 2, 0, 1), lambda a: a.transpose(2, 3, 1, 0))
"""A kernel [height, width, in, out] as [out, in, height, width]."""


def parts(each: Layout, num: int) -> Layout:
    """Layout of an array whose last axis is made of `num` parts, each an array of theirs."""
    return Layout(
        lambda a: [each.split(part)[0] for part in np.split(a, num, axis=-1)],
        lambda found: np.concatenate([each.join([part]) for part in found], axis=-1),
    )


def reordered(each: Layout, order: np.ndarray, axis: int, chunks: int = 1) -> Layout:
    """Layout of an array whose axis, in each of its chunks, has another order there.

    Args:
        each: the rest of the layout.
        order: entry `i` there is entry `order[i]` here.
        axis: the axis.
        chunks: number of chunks of the length of `order`.
    """
    whole = np.concatenate([order + len(order) * chunk for chunk in range(chunks)])
    back = np.argsort(whole)
    return each.after(lambda a: np.take(a, whole, axis), lambda a: np.take(a, back, axis))


def copies(each: Layout, num: int, what: str) -> Layout:
    """Layout of an array of which they have `num` equal copies."""

    def join(found: list[np.ndarray]) -> np.ndarray:
        if any(not np.array_equal(found[0], other) for other in found[1:]):
            raise UserError(f'from_diffusers: {what} is not the same in all blocks')
        return each.join(found[:1])

    return Layout(lambda a: each.split(a) * num, join)


def stacked(each: Layout, num: int) -> Layout:
    """Layout of `num` arrays, stacked along the first axis."""

    def join(found: list[np.ndarray]) -> np.ndarray:
        size = len(found) // num
        return np.stack([each.join(found[i * size : (i + 1) * size]) for i in range(num)])

    return Layout(lambda a: [part for layer in a for part in each.split(layer)], join)
