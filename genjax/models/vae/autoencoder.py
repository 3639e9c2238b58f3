"""Base class of image autoencoders with an adversarial loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables, average_states
from genjax.models.gan.objectives import OBJECTIVES, squared_norm

_GREATEST_WEIGHT = 1e4  # of 'adaptive'


@dataclass(frozen=True, kw_only=True)
class Autoencoder(ABC):
    """Base class: an encoder and a decoder against a discriminator of images (Esser et al.,
    "Taming transformers for high-resolution image synthesis", 2021; Rombach et al., 2022).

    Phases: 'autoencoder' trains 'encoder' and 'decoder' on

        |x - x̂| + feature · |f(x) - f(x̂)| + adversarial · l(D(x̂)) + the cost of the code,

    each a mean over its elements; then 'discriminator' learns to classify data and reconstructions.
    Metrics: 'reconstruction', and with a discriminator 'feature' and 'adversarial'; of its phase
    'real_logit' and 'fake_logit'.

    f are the outputs of all convolutions of the discriminator, with equal weights: learned features
    (Larsen et al., 2016; Wang et al., pix2pixHD, 2018, eq. 4) replace LPIPS, which needs a
    pretrained network.

    Attributes:
        encoder: images [B, H, W, C] to maps [B, h, w, F], such as `MapEncoder`. A linear head to
            the code is added.
        decoder: maps to [B, *shape]; its field `shape` is the shape of one example.
        discriminator: images to logits [B] or, of patches, [B, P], with convolutions of the class
            `nn.Conv`. None: no feature and adversarial losses.
        loss: loss of both players, a name in `OBJECTIVES`.
        reconstruction: 'l1', absolute error as above, or 'l2', squared error.
        feature: weight of the feature loss.
        adversarial: weight of the adversarial loss; use `Scheduled(staircase(...))` to start it
            late.
        adaptive: multiplies the adversarial weight by the ratio of the gradient norms of the
            reconstruction and adversarial losses, at most 10^4. Gradients are with respect to each
            image x̂; in the papers, those of the batch with respect to the decoder's last layer.
    """

    encoder: nn.Module
    decoder: nn.Module
    discriminator: nn.Module | None = None
    loss: Literal['non_saturating', 'least_squares', 'hinge', 'wasserstein'] = 'hinge'
    reconstruction: Literal['l1', 'l2'] = 'l1'
    feature: float = 1.0
    adversarial: float = 0.5
    adaptive: bool = False

    def __post_init__(self):
        flax_utils.event_shape(self.decoder, 'decoder')
        name = type(self).__name__
        for attribute, known in (
            ('loss', ('non_saturating', 'least_squares', 'hinge', 'wasserstein')),
            ('reconstruction', ('l1', 'l2')),
        ):
            if getattr(self, attribute) not in known:
                value = getattr(self, attribute)
                raise UserError(f'{name}.{attribute} is one of {", ".join(known)}, not {value!r}')

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.decoder, 'decoder')

    @property
    def data_values(self) -> Values:
        return Values(type(self).__name__, unit=True)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The autoencoder, then the discriminator."""
        groups = ('encoder', 'decoder')
        autoencoder = Phase('autoencoder', groups, self._loss, merge=self._merge)
        if self.discriminator is None:
            return (autoencoder,)
        return autoencoder, Phase('discriminator', ('discriminator',), self._discriminator_loss)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; the codebook or the moments of codes are initialised from
        `batch`.

        Raises:
            UserError: the encoder's output is not a map, or the discriminator has no convolutions.
        """
        x = batch['x'].astype(jnp.float32)
        z = jnp.zeros((len(x), *self._map_size, self._depth))
        networks = {'encoder': (self._code, (x,)), 'decoder': (self.decoder, (z,))}
        if self.discriminator is not None:
            networks['discriminator'] = (self.discriminator, (x,))
        variables = flax_utils.initialise(key, networks)
        if self.discriminator is not None and not jax.eval_shape(self._look, variables, x, key)[1]:
            name = type(self.discriminator).__name__
            raise UserError(f'the discriminator {name} has no convolutions to take features from')
        return variables

    @property
    def _merge(self) -> Callable:
        """`Phase.merge` of the autoencoder's phase."""
        return average_states

    @property
    @abstractmethod
    def _code(self) -> nn.Module:
        """The encoder with the head from its map to the code."""

    @property
    @abstractmethod
    def _depth(self) -> int:
        """Channels of the decoder's input."""

    @abstractmethod
    def _encoded(self, variables: Variables, batch: Batch, key: Array) -> 'Encoded':
        """Encodes a batch in training."""

    @property
    def _map_size(self) -> tuple[int, int]:
        """Height and width of a code."""
        x = jax.ShapeDtypeStruct((1, *self.event_shape), jnp.float32)
        shape = jax.eval_shape(self.encoder.init_with_output, jax.random.key(0), x)[0].shape
        if len(shape) != 4:
            name = type(self.encoder).__name__
            raise UserError(f'the encoder {name} gives {shape[1:]}, not a map [h, w, channels]')
        return shape[1:3]

    def _decode(self, variables: Variables, z: Array, **options: Any) -> tuple[Array, Any]:
        x, state = flax_utils.apply(self.decoder, variables, 'decoder', z, **options)
        return x.astype(jnp.float32), state

    def _look(self, variables: Variables, x: Array, key: Array) -> 'Look':
        """Applies the discriminator to images in training."""
        state = variables['state'].get('discriminator', {})
        logits, new = self.discriminator.apply(
            {'params': variables['params']['discriminator'], **state},
            x,
            **flax_utils.train_option(self.discriminator, True),
            rngs={'dropout': key},
            mutable=[*state, 'intermediates'],
            capture_intermediates=lambda module, method: (
                isinstance(module, nn.Conv) and method == '__call__'
            ),
        )
        found = jax.tree_util.tree_leaves_with_path(new.get('intermediates', {}))
        # Outputs of the convolutions only: networks also sow their features.
        features = [
            flat(leaf).astype(jnp.float32)
            for path, leaf in found
            if '__call__' in [getattr(part, 'key', None) for part in path]
        ]
        states = variables['state']
        if state:
            states = {**states, 'discriminator': {name: new[name] for name in state}}
        return Look(logits.reshape(len(x), -1).astype(jnp.float32), features, states)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        code_key, decoder_key, adversarial_key = jax.random.split(key, 3)
        x = batch['x'].astype(jnp.float32)
        z, cost, metrics, state = self._encoded(variables, batch, code_key)
        y, state = self._decode({**variables, 'state': state}, z, train=True, key=decoder_key)
        reconstruction = self._distance(x, y)
        values, metrics = reconstruction + cost, {'reconstruction': reconstruction, **metrics}
        if self.discriminator is not None:
            values += self._adversarial_loss(variables, x, y, adversarial_key, metrics)
        return LossOutput(values, metrics, state)

    def _distance(self, x: Array, y: Array) -> Array:
        error = flat(x - y)
        return jnp.mean(jnp.abs(error) if self.reconstruction == 'l1' else error**2, axis=-1)

    def _adversarial_loss(
        self, variables: Variables, x: Array, y: Array, key: Array, metrics: dict[str, Array]
    ) -> Array:
        """Computes the weighted feature and adversarial losses, summed, [B]; adds to `metrics`."""
        real, fake = (self._look(variables, each, key) for each in (x, y))
        distances = [
            jnp.mean(jnp.abs(a - b), axis=-1)
            for a, b in zip(real.features, fake.features, strict=True)
        ]
        feature = sum(distances) / len(distances)
        generator = OBJECTIVES[self.loss].generator
        adversarial = jnp.mean(generator(real.logits, fake.logits), axis=-1)
        metrics |= {'feature': feature, 'adversarial': adversarial}
        weight = self.adversarial
        if self.adaptive:
            y = jax.lax.stop_gradient(y)

            def judged(y):
                logits = self._look(variables, y, key).logits
                return jnp.sum(generator(real.logits, logits)) / logits.shape[1]

            pull = jax.grad(lambda y: jnp.sum(self._distance(x, y)))(y)
            push = jax.grad(judged)(y)
            weight *= jnp.minimum(_norm(pull) / (_norm(push) + 1e-4), _GREATEST_WEIGHT)
        return self.feature * feature + weight * adversarial

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        code_key, decoder_key, real_key, fake_key = jax.random.split(key, 4)
        x = batch['x'].astype(jnp.float32)
        z = self._encoded(variables, batch, code_key).z
        y, _ = self._decode(variables, z, train=True, key=decoder_key)
        real = self._look(variables, x, real_key)
        fake = self._look({**variables, 'state': real.state}, y, fake_key)
        values = jnp.mean(OBJECTIVES[self.loss].discriminator(real.logits, fake.logits), axis=-1)
        metrics = {
            'real_logit': jnp.mean(real.logits, axis=-1),
            'fake_logit': jnp.mean(fake.logits, axis=-1),
        }
        return LossOutput(values, metrics, fake.state)


class Encoded(NamedTuple):
    """A batch encoded in training.

    Attributes:
        z: the decoder's input, [B, h, w, depth].
        cost: loss of the code, [B].
        metrics: metrics of the code.
        state: the new state of all groups.
    """

    z: Array
    cost: Array
    metrics: dict[str, Array]
    state: Any


class Look(NamedTuple):
    """Output of the discriminator: logits [B, P], the outputs [B, D_i] of all its convolutions, and
    the new state of all groups.
    """

    logits: Array
    features: list[Array]
    state: Any


def flat(x: Array) -> Array:
    """Reshapes [B, ...] to [B, D]."""
    return x.reshape(len(x), -1)


def _norm(x: Array) -> Array:
    """Euclidean norm of each example, [B]."""
    return jnp.sqrt(squared_norm(x))
