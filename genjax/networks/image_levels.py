"""Resolutions and channels of networks on square images."""

from genjax.errors import UserError
from genjax.networks.layers import check_picture


def check_square(name: str, shape: tuple[int, ...]) -> None:
    """Raises a UserError unless `shape` is (side, side, channels) with a side of at least 8."""
    check_picture(name, shape)
    if shape[0] != shape[1]:
        raise UserError(f'{name} works on square pictures, not on {shape[0]}x{shape[1]}')


def coarsest(side: int) -> tuple[int, int]:
    """Returns the coarsest side, 4 to 7, and the number of doublings from it to `side`.

    Raises:
        UserError: `side` is not 4, 5, 6 or 7 times a power of two.
    """
    start, doublings = side, 0
    while start > 7 and start % 2 == 0:
        start, doublings = start // 2, doublings + 1
    if not 4 <= start <= 7:
        raise UserError(f'a side of {side} pixels is not 4, 5, 6 or 7 times a power of two')
    return start, doublings


def widths(features: int, max_features: int, doublings: int) -> list[int]:
    """Returns the channels of each level, finest first: doubled per level, up to a maximum."""
    return [min(features * 2**level, max_features) for level in range(doublings + 1)]
