"""The generative adversarial network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes, conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables, average_states
from genjax.models.checks import check_number, is_on
from genjax.models.gan import auxiliary_classifier
from genjax.models.gan.augment import Augment
from genjax.models.gan.consistency import Consistency
from genjax.models.gan.discriminator import Deal, Judge
from genjax.models.gan.objectives import (
    OBJECTIVES,
    feature_distance,
    gradient_norm_penalty,
    interpolate,
    lecam_penalty,
    orthogonal_penalty,
    r1_penalty,
)

LECAM_DECAY = 0.99


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
class GAN:
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
        on = [name for name in ('r1', 'r2', 'gradient_penalty') if is_on(getattr(self, name))]
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
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator."""
        loss, repeats = self._discriminator_loss, self.num_critic
        return (
            Phase('discriminator', ('discriminator',), loss, repeats, self._merged),
            Phase('generator', ('generator',), self._generator_loss),
        )

    def _merged(self, before: Any, states: Any, weights: Array) -> Any:
        """Merges the states of the discriminator's micro-batches: averages them, and adapts the
        augmentation probability to the mean sign of all real logits.
        """
        if not self._adapts:
            return average_states(before, states, weights)
        unmoved = before['discriminator']['augment']
        before = _with(before, {'augment': {**unmoved, 'sign': jnp.zeros(())}})
        state = average_states(before, states, weights)
        probability, sign = (state['discriminator']['augment'][k] for k in ('probability', 'sign'))
        probability = self.augment.adapted(probability, sign, jnp.sum(weights))
        return _with(state, {'augment': {'probability': probability}})

    @property
    def _generator(self) -> nn.Module:
        return conditions.with_condition(self.generator, self)

    @property
    def _judge(self) -> Judge:
        return Judge(
            self.discriminator, self.pack, self.augment, self.num_classes, self.context_shape,
            self.conditioning,
        )  # fmt: skip

    @property
    def _adapts(self) -> bool:
        return self.augment is not None and self.augment.target is not None

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
        extra = {}
        if is_on(self.lecam):
            extra['lecam'] = {'real': jnp.zeros(()), 'fake': jnp.zeros(())}
        if self._adapts:
            extra['augment'] = {'probability': jnp.asarray(self.augment.probability, jnp.float32)}
        return {**variables, 'state': _with(variables['state'], extra)}

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

    def _generate(
        self, variables: Variables, z: Array, condition: Array | None, **options: Any
    ) -> tuple[Array, Any]:
        x, state = flax_utils.apply(
            self._generator, variables, 'generator', z, condition, **options
        )
        return x.astype(jnp.float32), state

    def _deal(self, variables: Variables, batch: Batch, key: Array) -> Deal:
        z_key, label_key, generator_key, real_key, fake_key = jax.random.split(key, 5)
        real, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        if self.conditioning != 'input':
            label = classes.complete(label_key, batch['label'], self.num_classes)
            condition = jax.nn.one_hot(label, self.num_classes)
        z = jax.random.normal(z_key, (len(real), self.latent_dim))
        fake, state = self._generate(variables, z, condition, train=True, key=generator_key)

        def near(key: Array) -> Array:
            nearby = self.consistency.nearby(key, z)
            return self._generate(variables, nearby, condition, train=True, key=generator_key)[0]

        return Deal(real, fake, condition, real_key, fake_key, state, near)

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        deal_key, real_key, fake_key, penalty_key, line_key = jax.random.split(key, 5)
        deal = self._deal(variables, batch, deal_key)
        condition = deal.condition
        real, state = self._judge(variables, deal.real, condition, keys=(deal.real_key, real_key))
        variables = {**variables, 'state': state}
        fake, state = self._judge(variables, deal.fake, condition, keys=(deal.fake_key, fake_key))
        values = OBJECTIVES[self.loss].discriminator(real.logits, fake.logits)
        metrics = {
            'real_logit': real.logits,
            'fake_logit': fake.logits,
            'wasserstein': real.logits - fake.logits,
        }
        counts = batch.get('mask', jnp.ones(len(batch['x']), bool))
        if real.class_logits is not None:
            metrics['accuracy'] = classes.accuracy(real.class_logits, batch['label'], counts)
            values += classes.cross_entropy(real.class_logits, batch['label'])
        if self.conditioning == 'auxiliary':
            values += classes.cross_entropy(fake.class_logits, jnp.argmax(condition, axis=-1))

        penalties, extra = {}, {}
        counts = jnp.all(counts.reshape(-1, self.pack), axis=1)
        if is_on(self.r1):
            penalties['r1'] = self.r1 * r1_penalty(real.gradient())
        if is_on(self.r2):
            penalties['r2'] = self.r2 * r1_penalty(fake.gradient())
        if is_on(self.gradient_penalty):
            between = interpolate(line_key, deal.real, deal.fake)
            keys = jax.random.fold_in(penalty_key, 1), penalty_key
            verdict, _ = self._judge(variables, between, condition, keys=keys)
            penalty = gradient_norm_penalty(verdict.gradient())
            penalties['gradient_penalty'] = self.gradient_penalty * penalty
        if self.consistency is not None:
            change_key, near_key = jax.random.split(jax.random.fold_in(penalty_key, 2))
            keys = (deal.real_key, real_key), (deal.fake_key, fake_key)
            penalties |= self.consistency.penalties(
                change_key,
                deal,
                (real.logits, fake.logits),
                tuple(
                    lambda x, k=k: self._judge(variables, x, condition, keys=k)[0].logits
                    for k in keys
                ),
                lambda: deal.near(near_key),
            )
        if is_on(self.lecam):
            anchors = state['discriminator']['lecam']
            penalty = lecam_penalty(real.logits, fake.logits, anchors['real'], anchors['fake'])
            penalties['lecam'] = self.lecam * penalty
            extra['lecam'] = {
                name: LECAM_DECAY * anchors[name] + (1 - LECAM_DECAY) * _mean(logits, counts)
                for name, logits in (('real', real.logits), ('fake', fake.logits))
            }
        if self._adapts:
            probability = state['discriminator']['augment']['probability']
            metrics['augment'] = probability
            extra['augment'] = {
                'probability': probability,
                'sign': _mean(jnp.sign(real.logits), counts),
            }
        values = sum(penalties.values(), start=values)
        return self._output(values, {**metrics, **penalties}, _with(state, extra))

    def _generator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        deal_key, real_key, fake_key = jax.random.split(key, 3)
        metrics = {}
        deal = self._deal(variables, batch, deal_key)
        condition = deal.condition
        keys = (deal.real_key, real_key), (deal.fake_key, fake_key)
        # What the loss ignores, such as the real logits, the compiler does not compute.
        real, _ = self._judge(variables, deal.real, condition, keys=keys[0])
        fake, _ = self._judge(variables, deal.fake, condition, keys=keys[1])
        values = OBJECTIVES[self.loss].generator(real.logits, fake.logits)
        if self.generator_loss == 'feature_matching':
            counts = batch.get('mask', jnp.ones(len(batch['x']), bool))
            counts = jnp.all(counts.reshape(-1, self.pack), axis=1)
            features = (
                self._judge.features(variables, x, condition, keys=each)
                for x, each in zip((deal.real, deal.fake), keys, strict=True)
            )
            distance = feature_distance(*features, counts)
            values = jnp.full(len(values), distance)
        if fake.class_logits is not None:
            values += classes.cross_entropy(fake.class_logits, jnp.argmax(condition, axis=-1))
        if self.consistency is not None and is_on(self.consistency.spread):
            near = deal.near(jax.random.fold_in(key, 3))
            reward = jnp.mean(self.consistency.reward(deal.fake, near).reshape(-1, self.pack), 1)
            values, metrics['spread'] = values - reward, reward
        if is_on(self.orthogonal):
            penalty = self.orthogonal * orthogonal_penalty(variables['params']['generator'])
            values, metrics['orthogonal'] = values + penalty, penalty
        return self._output(values, metrics, deal.state)

    def _output(self, values: Array, metrics: Mapping[str, Array], state: Any) -> LossOutput:
        """Repeats the values and metrics of each pack for its examples."""
        return LossOutput(
            *jax.tree.map(lambda a: jnp.repeat(a, self.pack) if a.ndim else a, (values, metrics)),
            state,
        )


def _mean(values: Array, counts: Array) -> Array:
    """Masked mean, a scalar."""
    return jnp.sum(jnp.where(counts, values, 0.0)) / jnp.maximum(jnp.sum(counts), 1)


def _with(state: Mapping[str, Any], collections: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replaces or adds collections of the discriminator's state."""
    if not collections:
        return state
    return {**state, 'discriminator': {**state.get('discriminator', {}), **collections}}
