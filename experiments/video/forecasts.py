"""Predictors of frames of `MovingDigits` to stand beside a model, and scores of films."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from genjax.data import MovingDigits
from genjax.data.toy import moving_digits as world

_LAST = np.array([5, 7])  # largest row and column of the upper left corner
_NOISE = 0.02


def read_state(context: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digit [N] and place [N, 2] of the last of two frames [N, 2, 10, 10], and the step to it."""
    digit, place = world.read(context)
    return digit[:, 1], place[:, 1], np.clip(place[:, 1] - place[:, 0], -1, 1)


def reflect(place: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places and steps [N, 2] after a move, reversed where it would leave the screen."""
    outside = (place + step < 0) | (place + step > _LAST)
    step = np.where(outside, -step, step)
    return place + step, step


def centroid(frames: np.ndarray) -> np.ndarray:
    """Mean row and column [..., 2] of the pixels of frames [..., 10, 10] that are set."""
    total = np.maximum(frames.sum(axis=(-2, -1)), 1)
    rows, columns = frames.sum(axis=-1) @ np.arange(10), frames.sum(axis=-2) @ np.arange(10)
    return np.stack([rows, columns], axis=-1) / total[..., None]


def copy_last(context: np.ndarray) -> np.ndarray:
    return context[:, 1]


def move_by_centroids(context: np.ndarray) -> np.ndarray:
    """The last frame, moved as the centroid moved, in whole pixels."""
    first, last = centroid(context[:, 0]), centroid(context[:, 1])
    steps = np.rint(last - first).astype(int)
    moved = np.zeros_like(context[:, 1])
    for row, (frame, (down, right)) in enumerate(zip(context[:, 1], steps, strict=True)):
        padded = np.pad(frame, 10)
        moved[row] = padded[10 - down : 20 - down, 10 - right : 20 - right]
    return moved


def draw_reflected(context: np.ndarray) -> np.ndarray:
    """The digit that was read, without noise, one step on."""
    digit, place, step = read_state(context)
    place, _ = reflect(place, step)
    return world.screens()[digit, 8 * place[:, 0] + place[:, 1]]


GUESSES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    'copy': copy_last,
    'centroids': move_by_centroids,
    'reflected': draw_reflected,
}


def guess_log_prob(guess: Callable, fit: dict, test: dict) -> np.ndarray:
    """log p [N] in nats of test frames whose pixels are set with one probability where the guess
    is, and with another elsewhere; both are the frequencies among the frames `fit`.
    """

    def of(rows: dict) -> tuple[np.ndarray, np.ndarray]:
        context = np.moveaxis(rows['context'], -1, 1).astype(bool)
        return guess(context), rows['x'][..., 0].astype(bool)

    guessed, x = of(fit)
    rate = np.array([x[~guessed].mean(), x[guessed].mean()])
    guessed, x = of(test)
    p = rate[guessed.astype(int)]
    return np.log(np.where(x, p, 1 - p)).sum(axis=(1, 2))


def independent(x: np.ndarray, context: np.ndarray) -> np.ndarray:
    """log p [N] in nats under the exact probability of each pixel, pixels independent: the best
    that a model of the expected frame can do.
    """
    states = np.asarray(MovingDigits().next_states(context), np.float64)
    states = states.reshape(len(x), 10, -1, 9).sum(-1).reshape(len(x), -1)
    mean = states @ world.screens().reshape(states.shape[1], -1)
    p = _NOISE + (1 - 2 * _NOISE) * mean
    bits = x.reshape(len(x), -1).astype(bool)
    return np.log(np.where(bits, p, 1 - p)).sum(axis=1)


def sample_states(
    random: np.random.Generator, context: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws digit, index of the place and of the step [N], exactly, in the frame after the two of
    contexts [N, 10, 10, 2].
    """
    states = np.asarray(MovingDigits().next_states(jnp.asarray(context)), np.float64)
    total = np.cumsum(states.reshape(len(context), -1), axis=1)
    index = (total < random.uniform(size=(len(context), 1)) * total[:, -1:]).sum(axis=1)
    digit, state = np.divmod(index, states.shape[2])
    return digit, *np.divmod(state, 9)


def exact_sample(random: np.random.Generator, context: np.ndarray) -> np.ndarray:
    """Draws next frames [N, 10, 10, 1] given two [N, 10, 10, 2], exactly."""
    digit, place, _ = sample_states(random, context)
    flips = random.uniform(size=(len(context), 10, 10)) < _NOISE
    return (world.screens()[digit, place] ^ flips)[..., None]


def roll_out(sample: Callable, start: np.ndarray, length: int) -> np.ndarray:
    """Frames bool [N, length, 10, 10] after two [N, 2, 10, 10], each drawn given the two before by
    `sample(context [N, 10, 10, 2], step)`.
    """
    frames = [start[:, 0], start[:, 1]]
    for step in range(length):
        context = np.stack(frames[-2:], axis=-1).astype(np.float32)
        frames.append(np.asarray(sample(context, step))[..., 0] > 0.5)
    return np.stack(frames[2:], axis=1)


def world_places(
    random: np.random.Generator, start: np.ndarray, length: int, draws: int
) -> np.ndarray:
    """Places [N, draws, length, 2] of the digit in the frames after two [N, 2, 10, 10], drawn from
    their exact distribution: unlike a roll-out, the step is not forgotten.
    """
    context = np.moveaxis(np.repeat(start, draws, axis=0), 1, -1).astype(np.float32)
    _, place, step = sample_states(random, context)
    corner, move = np.stack(np.divmod(place, 8), -1), np.stack(np.divmod(step, 3), -1) - 1
    places = [corner]
    for _ in range(length - 1):
        drawn = random.uniform(size=(len(corner), 1)) < world._TURN
        move = np.where(drawn, random.integers(-1, 2, move.shape), move)
        corner, move = reflect(corner, move)
        places.append(corner)
    return np.stack(places, axis=1).reshape(len(start), draws, length, 2)


def extrapolate_centroids(start: np.ndarray, length: int) -> np.ndarray:
    """Places [N, length, 2], those of the centroid on a straight line as far as the screen goes.
    A centroid is as far from the upper left corner as that of the digit that was read.
    """
    digit, _, _ = read_state(start)
    first, last = np.moveaxis(centroid(start) - centroid(world.screens()[:, :1])[digit], 1, 0)
    steps = np.arange(1, length + 1)[:, None]
    return np.clip(last[:, None] + steps * (last - first)[:, None], 0, _LAST)


def extrapolate_reflected(start: np.ndarray, length: int) -> np.ndarray:
    """Places [N, length, 2] of the digit that was read, with its step, reflected at the walls."""
    _, place, step = read_state(start)
    places = []
    for _ in range(length):
        place, step = reflect(place, step)
        places.append(place)
    return np.stack(places, axis=1)


def stay(start: np.ndarray, length: int) -> np.ndarray:
    """Places [N, length, 2], those of the last frame."""
    _, place, _ = read_state(start)
    return np.repeat(place[:, None], length, axis=1)


PLACES: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    'centroids': extrapolate_centroids,
    'reflected': extrapolate_reflected,
    'copy': stay,
}


def scores(places: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    """Mean scores over films, by frame: 'error', the distance E |X - y| in pixels of a draw from
    the truth, and 'energy', E |X - y| - E |X - X'| / 2, which the true distribution minimises.

    Args:
        places: drawn places [N, draws, length, 2]; one draw is a forecast of a point.
        truth: [N, length, 2].
    """
    error = np.linalg.norm(places - truth[:, None], axis=-1).mean(axis=(0, 1))
    spread, draws = np.zeros_like(error), places.shape[1]
    if draws > 1:
        pairs = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
        spread = pairs.sum(axis=(1, 2)).mean(axis=0) / (draws * (draws - 1))
    return {'error': error.round(4).tolist(), 'energy': (error - spread / 2).round(4).tolist()}
