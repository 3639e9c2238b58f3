"""The generative adversarial network: its options, and the use of its networks."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, Values, Variables
from genjax.models.checks import check_number, is_on
from genjax.models.gan import auxiliary_classifier
from genjax.models.gan.augment import Augment
from genjax.models.gan.consistency import Consistency
from genjax.models.gan.discriminator import Judge
from genjax.models.gan.game import Game
from genjax.models.gan.objectives import OBJECTIVES
from genjax.models.gan.penalties import gradient_penalties_on


@dataclass(frozen=True)
class GANSampling:
    """Sampling options of a `GAN`.

    Attributes:
        truncation: elements of codes beyond this value, of either sign, are drawn again (Brock et
            al., BigGAN, 2019): lower values trade variety for quality; None: no truncation.
    """

    truncation: float | None = None

    def __post_init__(self):
        check_number('GANSampling.truncation', self.truncation, above=True)

    def codes(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws codes of this shape."""
        if self.truncation is None:
            return jax.random.normal(key, shape)
        return jax.random.truncated_normal(key, -self.truncation, self.truncation, shape)


@dataclass(frozen=True)
class GAN(Game):
    """A generator against a discriminator (Goodfellow et al., 2014).

    Parameter groups and phases: 'discriminator', then 'generator'. Each phase updates the state
    (batch statistics, spectral-norm vectors) of its own player only. Gradient penalties are per
    example; they cannot be combined with a discriminator that uses batch normalisation.

    Attributes:
        generator: codes [B, latent_dim] to data; its field `shape` is the shape of one example.
        discriminator: data to one logit per example, [B] or [B, 1].
        latent_dim: dimensions of a code, standard normal.
        loss: 'non_saturating', 'least_squares', 'hinge', 'wasserstein' or 'relativistic'.
        generator_loss: 'adversarial', the generator's part of `loss`; or 'feature_matching', the
            squared distance of the means of the discriminator's features of data and of samples
            (Salimans et al., 2016), the same for all examples of a batch.
        r1: weight γ of γ/2 ‖∇D(x)‖² at data (Mescheder et al., 2018).
        r2: weight of the same penalty at samples (Roth et al., 2017).
        gradient_penalty: weight of (‖∇D(x)‖ - 1)² between data and samples (Gulrajani et al.,
            2017).
        lecam: weight of LeCam regularisation: the squared distance of real logits from the moving
            average (decay .99) of fake logits, and vice versa (Tseng et al., 2021). The averages
            are the discriminator's state `lecam`.
        orthogonal: weight of the generator's orthogonal regularisation (Brock et al., BigGAN, 2019;
            1e-4 there), see `orthogonal_penalty`.
        consistency: consistency regularisation of both players.
        num_critic: discriminator updates per step, each on its own slice of the batch.
        reuse: the generator is trained on the samples that the discriminator was just trained on,
            as in many implementations of DCGAN, in place of new ones: its forward pass is computed
            once a step, and what its backward pass needs, of all micro-batches, is kept in memory
            meanwhile. Needs `num_critic=1`.
        pack: examples per discriminator input, concatenated along the last axis, so that the
            discriminator can detect mode collapse (PacGAN; Lin et al., 2018). Each example is
            assigned the loss of its pack.
        augment: random transforms of all discriminator inputs. Gradient penalties differentiate
            through them, with respect to the original image, as in StyleGAN2-ADA and R3GAN.
        num_classes: if given, networks are cloned with this `num_classes` and take a label.
        conditioning: class conditioning of the discriminator. 'input': its network takes the label
            (as one-hot, or by projection). 'auxiliary' and 'k_plus_1': it classifies instead (see
            `auxiliary_classifier`) and is cloned with `shape=(1 + num_classes,)`. The class loss of
            samples is added to both players' losses ('k_plus_1': the generator's alone), that of
            data to the discriminator's; a label of -1 means unlabelled.
        context_shape: if given, networks are cloned with it and take a context of this shape.
        sampling: sampling options.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent_dim: int
    loss: Literal['non_saturating', 'least_squares', 'hinge', 'wasserstein', 'relativistic'] = (
        'non_saturating'
    )
    generator_loss: Literal['adversarial', 'feature_matching'] = 'adversarial'
    r1: float = 0.0
    r2: float = 0.0
    gradient_penalty: float = 0.0
    lecam: float = 0.0
    orthogonal: float = 0.0
    consistency: Consistency | None = None
    num_critic: int = 1
    reuse: bool = False
    pack: int = 1
    augment: Augment | None = None
    num_classes: int | None = None
    conditioning: auxiliary_classifier.Conditioning = 'input'
    context_shape: tuple[int, ...] | None = None
    sampling: GANSampling = field(default_factory=GANSampling)

    FREE: ClassVar[tuple[str, ...]] = ('sampling',)

    def __post_init__(self):
        flax_utils.event_shape(self.generator, 'generator')
        for name, known in (
            ('loss', OBJECTIVES),
            ('generator_loss', ('adversarial', 'feature_matching')),
            ('conditioning', auxiliary_classifier.CONDITIONINGS),
        ):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise UserError(f'GAN.{name} is one of {", ".join(known)}, not {value!r}')
        for name in ('latent_dim', 'num_critic', 'pack'):
            if getattr(self, name) < 1:
                raise UserError(f'GAN.{name} must be at least 1, not {getattr(self, name)}')
        if self.reuse and self.num_critic != 1:
            raise UserError(
                f'GAN.reuse with num_critic={self.num_critic}: samples are reused after one update'
                ' of the discriminator'
            )
        if self.augment is not None:
            self.augment.check(self.event_shape)
        if self.consistency is not None and (is_on(self.consistency.real + self.consistency.fake)):
            self.consistency.augment.check(self.event_shape)
        if self.conditioning == 'input':
            networks = {'generator': self.generator, 'discriminator': self.discriminator}
            conditions.check(self, **networks)
        else:
            self._check_classifier()
        self._check_penalties()
        if self.pack > 1 and conditions.is_conditional(self):
            raise UserError(
                f'GAN.pack={self.pack} with num_classes or context_shape: examples of different'
                ' conditions cannot be packed; use one of the two'
            )

    def _check_penalties(self) -> None:
        on = gradient_penalties_on(self)
        if on and self._judge.keeps_batch_statistics(self.event_shape):
            raise UserError(
                f'GAN.{on[0]} with a discriminator that normalises over the batch'
                f' ({type(self.discriminator).__name__}): the penalty is of the gradient of each'
                ' logit by its own example. Use a norm within examples (group or layer), or none'
            )

    def _check_classifier(self) -> None:
        if self.num_classes is None:
            raise UserError(f'GAN.conditioning={self.conditioning!r} needs num_classes')
        conditions.check(self, generator=self.generator)
        if not hasattr(self.discriminator, 'shape'):
            name = type(self.discriminator).__name__
            raise UserError(
                f'GAN.conditioning={self.conditioning!r}: the discriminator {name} has no field'
                ' shape, and so cannot give class logits'
            )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return flax_utils.event_shape(self.generator, 'generator')

    @property
    def data_values(self) -> Values | None:
        """The range of the generator's outputs."""
        return flax_utils.output_values(self.generator, 'generator')

    @property
    def takes_unlabelled(self) -> bool:
        return self.conditioning != 'input'

    @property
    def _judge(self) -> Judge:
        return Judge(
            self.discriminator, self.pack, self.augment, self.num_classes, self.context_shape,
            self.conditioning,
        )  # fmt: skip

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only.

        Raises:
            UserError: the data do not have the label or context of the model; or the batch is not
                a multiple of `pack`.
        """
        z = jnp.zeros((len(batch['x']), self.latent_dim))
        condition = conditions.of_batch(self, batch)
        inputs = self._judge.inputs(self._judge.packed(batch['x']), condition)
        variables = flax_utils.initialise(
            key,
            {
                'generator': (self._generator, (z, condition)),
                'discriminator': (self._judge.network, inputs),
            },
        )
        return {**variables, 'state': self._logit_state.start(variables['state'])}

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
        z_key, label_key = jax.random.split(key)
        z = self.sampling.codes(z_key, (num, self.latent_dim))
        condition = conditions.to_sample(self, label_key, num, label, context)
        return self._generate(variables, z, condition)[0]

    def discriminate(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes logits of being real, [B / pack], of x [B, *event], without augmentation."""
        return self._judge.read(variables, x, conditions.given(self, label, context))[0]

    def classify(self, variables: Variables, x: Array) -> Array:
        """Computes the discriminator's class logits [B, K] of data x [B, *event].

        Raises:
            UserError: the discriminator does not classify (`conditioning` is 'input').
        """
        if self.conditioning == 'input':
            raise UserError("classify() needs GAN.conditioning 'auxiliary' or 'k_plus_1'")
        return self._judge.read(variables, x, None)[1]

    def features(
        self,
        variables: Variables,
        x: Array,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the input [B, D] of the discriminator's last layer, a mean over positions, for x
        [B, *event], in packs of itself; without a label that it takes, its average over labels.

        Raises:
            UserError: a label or context that the model does not take, or a missing context.
        """
        condition = conditions.given(self, label, context)

        def of(condition: Array | None) -> Array:
            return self._judge.features(variables, jnp.repeat(x, self.pack, axis=0), condition)

        if condition is not None or self.num_classes is None or self.conditioning != 'input':
            return of(condition)
        shape = (len(x), self.num_classes)
        each = jax.lax.map(lambda y: of(jnp.broadcast_to(y, shape)), jnp.eye(self.num_classes))
        return jnp.mean(each, axis=0)
