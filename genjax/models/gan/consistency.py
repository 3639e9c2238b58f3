"""Consistency regularisation of GANs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

from genjax.models.checks import check_number, is_on
from genjax.models.gan.augment import Augment
from genjax.models.gan.discriminator import Deal


@dataclass(frozen=True)
class Consistency:
    """Penalises the change of logits by augmentations T of data and samples (bCR) and by noise δ on
    the codes of samples, and rewards the change of samples by δ (zCR) (Zhao et al., "Improved
    consistency regularization for GANs", 2021). With `fake=0.` it is that of Zhang et al. (2020).

    Attributes:
        real: λ_real of (D(x) - D(T(x)))².
        fake: λ_fake of (D(G(z)) - D(T(G(z))))².
        latent: λ_dis of (D(G(z)) - D(G(z + δ)))².
        spread: λ_gen of the generator's reward, the mean of (G(z) - G(z + δ))² over dimensions.
        noise_scale: standard deviation of δ.
        augment: T; the default is that of the paper, flips and shifts.
    """

    real: float = 10.0
    fake: float = 10.0
    latent: float = 0.0
    spread: float = 0.0
    noise_scale: float = 0.03
    augment: Augment = field(default_factory=lambda: Augment(('flip', 'translate')))

    def __post_init__(self):
        for name in ('real', 'fake', 'latent', 'spread', 'noise_scale'):
            check_number(f'Consistency.{name}', getattr(self, name))

    def nearby(self, key: Array, z: Array) -> Array:
        """z + δ."""
        return z + self.noise_scale * jax.random.normal(key, z.shape)

    def penalties(
        self,
        key: Array,
        deal: Deal,
        logits: tuple[Array, Array],
        look: tuple[Callable[[Array], Array], Callable[[Array], Array]],
        near: Callable[[], Array],
    ) -> dict[str, Array]:
        """The discriminator's penalties, by metric.

        Args:
            key: for T.
            deal: data and samples.
            logits: of data and of samples.
            look: logits of other images in the place of data and of samples.
            near: () -> samples of nearby codes.
        """
        found = {}
        sides = zip(('real', 'fake'), deal[:2], logits, look, jax.random.split(key), strict=True)
        for name, x, plain, judge, side_key in sides:
            if is_on(weight := getattr(self, name)):
                changed = self.augment(x, side_key, self.augment.probability)
                found[f'consistency_{name}'] = weight * (plain - judge(changed)) ** 2
        if is_on(self.latent):
            found['consistency_latent'] = self.latent * (logits[1] - look[1](near())) ** 2
        return found

    def reward(self, fake: Array, near: Array) -> Array:
        """The generator's reward [B]."""
        return self.spread * jnp.mean((fake - near).reshape(len(fake), -1) ** 2, axis=-1)
