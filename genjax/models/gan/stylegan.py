"""StyleGAN2 (Karras et al., "Analyzing and improving the image quality of StyleGAN", 2020)."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.checks import check_number
from genjax.models.classes import complete
from genjax.models.gan.gan import GAN
from genjax.models.gan.objectives import r1_penalty
from genjax.models.sampling_options import gathered

LATENT_DECAY, LENGTH_DECAY = 0.995, 0.99


@dataclass(frozen=True)
class StyleGANSampling:
    """Sampling options of a `StyleGAN`.

    Attributes:
        truncation: factor ψ on the distance of latents from their average, at least 0; values
            below 1 trade variety for quality.
    """

    truncation: float = 1.0

    def __post_init__(self):
        check_number('StyleGANSampling.truncation', self.truncation)


@dataclass(frozen=True)
class StyleGAN(GAN):
    """A GAN with style mixing, path length regularisation and truncation, for a `StyleGANGenerator`
    (or one with its methods `to_latent` and `synthesise`, and `num_latents`).

    Regularisation is lazy: a penalty is computed on every k-th update of its player only, with k
    times its weight, so that the expected gradient is unchanged. Update counters, the average
    latent and the average path length are part of the state.

    Attributes:
        r1: weight of R1 as in `GAN`, but on every `r1_every`-th update.
        r1_every: interval of R1 in updates; 0: never.
        path_length: weight of (‖Jᵀy‖ - a)², where J is the Jacobian of an image with respect to
            its latents, y a normal image of variance 1 / pixels, and a the moving average
            (decay .99) of these lengths. The squared norm is the mean over an image's latents.
        path_length_every: interval of the path length penalty in updates; 0: never.
        style_mixing: probability that a training sample uses the latent of a second code from a
            random layer on (Karras et al., 2019).
        sampling: sampling options.
    """

    r1: float = 1.0
    r1_every: int = 16
    path_length: float = 2.0
    path_length_every: int = 4
    style_mixing: float = 0.9
    sampling: StyleGANSampling = field(default_factory=StyleGANSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        super().__post_init__()
        if not hasattr(self.generator, 'to_latent'):
            name = type(self.generator).__name__
            raise UserError(f'StyleGAN needs a generator of styles (StyleGANGenerator), not {name}')

    @staticmethod
    def upgrade(fields: dict[str, Any]) -> dict[str, Any]:
        """Upgrades an older config, whose sampling options were fields of the model."""
        return gathered(fields, StyleGANSampling, {'truncation': 'truncation'})

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; raises the errors of `GAN.init`."""
        variables = super().init(key, batch)
        state, zero = variables['state'], jnp.zeros(())
        if self.r1_every:
            state = _with(state, 'discriminator', r1={'turn': zero})
        if self.path_length_every:
            state = _with(state, 'generator', path_length={'turn': zero, 'mean': zero})
        return {**variables, 'state': state}

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws [num, *event]; missing labels are drawn uniformly.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        z_key, label_key, noise_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (num, self.latent_dim))
        condition = conditions.to_sample(self, label_key, num, label, context)
        w = self._mapped(variables, z, condition, truncation=self.sampling.truncation)
        return self.synthesise(variables, w, noise_key)

    def to_latent(
        self,
        variables: Variables,
        z: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Maps codes z [B, latent_dim] to truncated latents w [B, D']."""
        condition = conditions.given(self, label, context)
        return self._mapped(variables, z, condition, truncation=self.sampling.truncation)

    def synthesise(self, variables: Variables, w: Array, key: Array | None = None) -> Array:
        """Generates images [B, *event] from latents [B, D'], or [B, num_latents, D'] with one per
        layer; without noise if `key` is None.
        """
        args = (w,) if key is None else (w, key)
        return flax_utils.apply(
            self._generator, variables, 'generator', *args, method='synthesise'
        )[0]

    def _mapped(
        self, variables: Variables, z: Array, condition: Array | None, *, truncation: float = 1.0
    ) -> Array:
        return flax_utils.apply(
            self._generator, variables, 'generator', z, condition, method='to_latent',
            truncation=truncation,
        )[0]  # fmt: skip

    def _mixed(
        self, variables: Variables, z: Array, condition: Array | None = None, *, key: Array
    ) -> Array:
        """Computes latents [B, num_latents, D'] with style mixing: from a random layer on, those
        of a second code.
        """
        z_key, how_key, where_key = jax.random.split(key, 3)
        num = len(z)
        both = jnp.concatenate([z, jax.random.normal(z_key, z.shape)])
        condition = None if condition is None else jnp.tile(condition, (2, 1))
        w = self._mapped(variables, both, condition)
        first, second = w[:num, None], w[num:, None]
        layers = self._generator.num_latents
        start = jax.random.randint(where_key, (num,), 1, layers)
        start = jnp.where(jax.random.uniform(how_key, (num,)) < self.style_mixing, start, layers)
        return jnp.where((jnp.arange(layers) < start[:, None])[..., None], first, second)

    def _generate(
        self,
        variables: Variables,
        z: Array,
        condition: Array | None,
        *,
        train: bool = False,
        key: Array,
    ) -> tuple[Array, Any]:
        mix_key, noise_key = jax.random.split(key)
        w = self._mixed(variables, z, condition, key=mix_key)
        return self.synthesise(variables, w, noise_key), variables['state']

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        loss_key, shown_key, judge_key = jax.random.split(key, 3)
        plain = dataclasses.replace(self, r1=0.0)
        out = GAN._discriminator_loss(plain, variables, batch, loss_key)
        if not self.r1_every:
            return out
        real, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)

        def penalty(params):
            judged = {**variables, 'params': params}
            verdict, _ = self._judge(judged, real, condition, keys=(shown_key, judge_key))
            gradient = verdict.gradient()
            return jnp.repeat(self.r1_every * self.r1 * r1_penalty(gradient), self.pack)

        turn = variables['state']['discriminator']['r1']['turn']
        values = _when(turn == 0, penalty, variables['params'])
        state = _with(out.state, 'discriminator', r1={'turn': (turn + 1) % self.r1_every})
        return out._replace(values=out.values + values, state=state)

    def _generator_loss(
        self, variables: Variables, batch: Batch, key: Array, handed: Any = ()
    ) -> LossOutput:
        loss_key, z_key, length_key, label_key = jax.random.split(key, 4)
        out = super()._generator_loss(variables, batch, loss_key, handed)
        old, condition = variables['state']['generator'], conditions.of_batch(self, batch)
        if self.conditioning != 'input':
            condition = complete(label_key, batch['label'], self.num_classes)
        counts = batch.get('mask', jnp.ones(len(batch['x']), bool))
        z = jax.random.normal(z_key, (len(counts), self.latent_dim))
        w = jax.lax.stop_gradient(self._mapped(variables, z, condition))
        average = _moved(old['w_average']['w'], w, counts, LATENT_DECAY)
        state = _with(out.state, 'generator', w_average={'w': average})
        if not self.path_length_every:
            return LossOutput(out.values, out.metrics, state)
        turn, mean = old['path_length']['turn'], old['path_length']['mean']

        def penalty(params):
            lengths = self._path_lengths(
                {**variables, 'params': params}, z, condition, key=length_key
            )
            weight = self.path_length_every * self.path_length
            return weight * (lengths - mean) ** 2, lengths

        values, lengths = _when(turn == 0, penalty, variables['params'])
        mean = jax.lax.stop_gradient(_moved(mean, lengths, counts & (turn == 0), LENGTH_DECAY))
        turn = (turn + 1) % self.path_length_every
        state = _with(state, 'generator', path_length={'turn': turn, 'mean': mean})
        return LossOutput(out.values + values, {**out.metrics, 'path_length': mean}, state)

    def _path_lengths(
        self, variables: Variables, z: Array, condition: Array | None = None, *, key: Array
    ) -> Array:
        """Computes ‖Jᵀy‖ for each code, [B]."""
        mix_key, noise_key, picture_key = jax.random.split(key, 3)
        w = self._mixed(variables, z, condition, key=mix_key)
        x, pull_back = jax.vjp(lambda w: self.synthesise(variables, w, noise_key), w)
        y = jax.random.normal(picture_key, x.shape) / math.sqrt(x.shape[1] * x.shape[2])
        squared = jnp.sum(pull_back(y)[0] ** 2, axis=-1)
        return jnp.sqrt(jnp.mean(squared, axis=-1) + 1e-12)


def _when(due: Array, penalty: Callable[[Any], Any], params: Any) -> Any:
    """Returns `penalty(params)` if it is due, otherwise zeros."""
    # Recompute in the backward pass: residuals would otherwise be written, as zeros, on the many
    # updates without the penalty.
    penalty = jax.checkpoint(penalty)
    shapes = jax.eval_shape(penalty, params)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return jax.lax.cond(due, penalty, lambda _: zeros, params)


def _moved(average: Array, values: Array, counts: Array, decay: float) -> Array:
    """Updates the moving average with the unmasked values [B, ...]."""
    weights = counts / jnp.maximum(jnp.sum(counts), 1)
    return average + (1 - decay) * jnp.tensordot(weights, values - average, 1, precision='highest')


def _with(state: Mapping[str, Any], group: str, **collections: Any) -> Mapping[str, Any]:
    """Replaces or adds collections of a group's state."""
    return {**state, group: {**state.get(group, {}), **collections}}
