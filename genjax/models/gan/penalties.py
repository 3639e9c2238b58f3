"""Penalties of a GAN's discriminator, by the names of their weights."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import jax
from jax import Array

from genjax.models.checks import is_on
from genjax.models.gan.consistency import Consistency
from genjax.models.gan.discriminator import Deal, Verdict
from genjax.models.gan.objectives import (
    gradient_norm_penalty,
    interpolate,
    lecam_penalty,
    r1_penalty,
)

Keys = tuple[Array, Array]
"""Keys of augmentation and of the network, see `Judge`."""


class Update(NamedTuple):
    """An update of the discriminator.

    Attributes:
        deal: data and samples.
        real: verdict on the data.
        fake: verdict on the samples.
        keys: of these verdicts.
        judge: verdict on other examples, with such keys.
        line_key: for points between data and samples.
        key: for the rest.
        averages: moving averages of the logits, 'real' and 'fake', for LeCam regularisation.
    """

    deal: Deal
    real: Verdict
    fake: Verdict
    keys: tuple[Keys, Keys]
    judge: Callable[[Array, Keys], Verdict]
    line_key: Array
    key: Array
    averages: Mapping[str, Array]


def _between(update: Update) -> Array:
    points = interpolate(update.line_key, update.deal.real, update.deal.fake)
    keys = jax.random.fold_in(update.key, 1), update.key
    return gradient_norm_penalty(update.judge(points, keys).gradient())


OF_GRADIENTS: dict[str, Callable[[Update], Array]] = {
    'r1': lambda update: r1_penalty(update.real.gradient()),
    'r2': lambda update: r1_penalty(update.fake.gradient()),
    'gradient_penalty': _between,
}
"""Penalties [B] of the gradient of each logit by its own example."""


class Weights(Protocol):
    """The fields of a `GAN` that weight penalties, beside those in `OF_GRADIENTS`."""

    consistency: Consistency | None
    lecam: float


def gradient_penalties_on(gan: Weights) -> list[str]:
    """Names in `OF_GRADIENTS` whose weight is not 0."""
    return [name for name in OF_GRADIENTS if is_on(getattr(gan, name))]


def weighted_penalties(gan: Weights, update: Update) -> dict[str, Array]:
    """Computes the penalties [B] of the discriminator that are on, weighted, by metric."""
    found = {
        name: getattr(gan, name) * OF_GRADIENTS[name](update) for name in gradient_penalties_on(gan)
    }
    if gan.consistency is not None:
        found |= _consistency(gan.consistency, update)
    if is_on(gan.lecam):
        averages = update.averages['real'], update.averages['fake']
        found['lecam'] = gan.lecam * lecam_penalty(
            update.real.logits, update.fake.logits, *averages
        )
    return found


def _consistency(consistency: Consistency, update: Update) -> dict[str, Array]:
    change_key, near_key = jax.random.split(jax.random.fold_in(update.key, 2))
    return consistency.penalties(
        change_key,
        update.deal,
        (update.real.logits, update.fake.logits),
        tuple(lambda x, keys=keys: update.judge(x, keys).logits for keys in update.keys),
        lambda: update.deal.near(near_key),
    )
