"""Permutations and reshapes: bijections with zero log-determinant."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.errors import UserError
from genjax.models.flow.bijection import Bijection, given, no_change
from genjax.models.flow.coupling import Coupling


class Reverse(Bijection):
    """Reverses x along `axis`, by default the features."""

    axis: int = -1

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return jnp.flip(x, self.axis), no_change(x)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return self.transform_and_log_det(z)


class Permute(Bijection):
    """Fixed random permutation of the features, the last dimension of x.

    A constant of the program, not a parameter: shared by the layers of a `Repeat`.

    Attributes:
        seed: of the permutation.
    """

    seed: int = 0

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return x[..., self._order(x)], no_change(x)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return z[..., np.argsort(self._order(z))], no_change(z)

    def _order(self, x: Array) -> np.ndarray:
        return np.random.RandomState(self.seed).permutation(x.shape[-1])


class Flatten(Bijection):
    """Flattens examples [B, *shape] to vectors [B, D], so that couplings can use an `MLP`.

    Attributes:
        shape: of one example.
    """

    shape: tuple[int, ...]

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        """Flattens; raises a UserError for examples of another shape."""
        if x.shape[1:] != tuple(self.shape):
            raise UserError(f'Flatten(shape={tuple(self.shape)}) got examples of {x.shape[1:]}')
        return x.reshape(x.shape[0], -1), no_change(x)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return z.reshape(z.shape[0], *self.shape), no_change(z)


class Squeeze(Bijection):
    """Moves blocks of pixels to channels, [B, H, W, C] to [B, H/f, W/f, f² C], so that couplings
    have channels to split (Dinh et al., 2017).

    Attributes:
        factor: f, the side of a block.
    """

    factor: int = 2

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        return _blocks_to_channels(x, self.factor), no_change(x)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        return _channels_to_blocks(z, self.factor), no_change(z)


class Tokens(Bijection):
    """Cuts an image into patches, [B, H, W, C] to tokens [B, H/f · W/f, f² C].

    Attributes:
        shape: (H, W, C) of an image.
        factor: f, the side of a patch.
    """

    shape: tuple[int, ...]
    factor: int = 1

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        x = _blocks_to_channels(x, self.factor)
        return x.reshape(x.shape[0], -1, x.shape[-1]), no_change(x)

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        rows, columns = (side // self.factor for side in self.shape[:2])
        z = z.reshape(z.shape[0], rows, columns, z.shape[-1])
        return _channels_to_blocks(z, self.factor), no_change(z)


class Split(Bijection):
    """Applies a bijection to the second half of the channels only (Dinh et al., 2017; Glow): the
    first half is final, which makes later layers cheaper.

    Attributes:
        inside: the bijection; it must keep the shape of an example.
        prior: a coupling that maps the first half given the second: with `Affine` a learned normal
            prior of what is final (Kingma & Dhariwal, Glow, 2018). None: that of the base.
    """

    inside: Bijection
    prior: Coupling | None = None

    def transform_and_log_det(self, x: Array, context: Array | None = None) -> tuple[Array, Array]:
        done, rest = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        done, prior = self._with_prior('transform_and_log_det', done, rest, context)
        rest, log_det = self.inside.transform_and_log_det(rest, *given(context))
        return jnp.concatenate([done, rest], axis=-1), log_det + prior

    def inverse_and_log_det(self, z: Array, context: Array | None = None) -> tuple[Array, Array]:
        done, rest = jnp.split(z, [z.shape[-1] // 2], axis=-1)
        rest, log_det = self.inside.inverse_and_log_det(rest, *given(context))
        done, prior = self._with_prior('inverse_and_log_det', done, rest, context)
        return jnp.concatenate([done, rest], axis=-1), log_det + prior

    def _with_prior(
        self, method: str, done: Array, rest: Array, context: Array | None
    ) -> tuple[Array, Array | float]:
        if self.prior is None:
            return done, 0.0
        both = jnp.concatenate([rest, done], axis=-1)  # the coupling keeps the larger first half
        both, log_det = getattr(self.prior, method)(both, *given(context))
        return both[..., rest.shape[-1] :], log_det


def _blocks_to_channels(x: Array, f: int) -> Array:
    if x.ndim != 4 or x.shape[1] % f or x.shape[2] % f:
        raise UserError(
            f'examples of shape {x.shape[1:]} cannot be cut into blocks of {f}x{f}: choose a '
            'factor that divides both sides of an image (height, width, channels), or Flatten'
        )
    b, h, w, c = x.shape
    x = x.reshape(b, h // f, f, w // f, f, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h // f, w // f, f * f * c)


def _channels_to_blocks(x: Array, f: int) -> Array:
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, f, f, c // f**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * f, w * f, c // f**2)
