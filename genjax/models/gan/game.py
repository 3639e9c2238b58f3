"""The game of a GAN: the losses of its two players."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.models import classes, conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Variables
from genjax.models.checks import is_on
from genjax.models.gan.augment import Augment
from genjax.models.gan.auxiliary_classifier import Conditioning
from genjax.models.gan.consistency import Consistency
from genjax.models.gan.discriminator import Deal, Judge, Verdict
from genjax.models.gan.logit_state import LogitState
from genjax.models.gan.objectives import OBJECTIVES, feature_distance, orthogonal_penalty
from genjax.models.gan.penalties import Keys, Update, weighted_penalties


class Game:
    """The phases of a `GAN`."""

    generator: nn.Module
    latent_dim: int
    loss: str
    generator_loss: str
    lecam: float
    orthogonal: float
    consistency: Consistency | None
    num_critic: int
    reuse: bool
    pack: int
    augment: Augment | None
    num_classes: int | None
    conditioning: Conditioning
    context_shape: tuple[int, ...] | None
    _judge: Judge

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator, then the generator."""
        loss, repeats = self._discriminator_loss, self.num_critic
        return (
            Phase('discriminator', ('discriminator',), loss, repeats, self._merged),
            Phase('generator', ('generator',), self._generator_loss, takes_over=self.reuse),
        )

    def _merged(self, before: Any, states: Any, weights: Array) -> Any:
        return self._logit_state.merged(before, states, weights)

    @property
    def _logit_state(self) -> LogitState:
        return LogitState(is_on(self.lecam), self.augment)

    @property
    def _generator(self) -> nn.Module:
        return conditions.with_condition(self.generator, self)

    def _generate(
        self, variables: Variables, z: Array, condition: Array | None, **options: Any
    ) -> tuple[Array, Any]:
        x, state = flax_utils.apply(
            self._generator, variables, 'generator', z, condition, **options
        )
        return x.astype(jnp.float32), state

    def _deal(self, variables: Variables, batch: Batch, key: Array, handed: Any = ()) -> Deal:
        *_, real_key, fake_key = keys = jax.random.split(key, 5)
        (z_key, label_key, generator_key), samples = handed or (keys[:3], ())
        real, condition = batch['x'].astype(jnp.float32), conditions.of_batch(self, batch)
        if self.conditioning != 'input':
            label = classes.complete(label_key, batch['label'], self.num_classes)
            condition = jax.nn.one_hot(label, self.num_classes)
        z = jax.random.normal(z_key, (len(real), self.latent_dim))

        def of(params: Any, z: Array) -> tuple[Array, Any]:
            playing = {**variables, 'params': {**variables['params'], 'generator': params}}
            return self._generate(playing, z, condition, train=True, key=generator_key)

        def near(key: Array) -> Array:
            return of(params, self.consistency.nearby(key, z))[0]

        params = variables['params']['generator']
        if self.reuse:

            def own(params: Any) -> tuple[Array, Any]:
                fake, state = of(params, z)
                return fake, state.get('generator')

            fake, pull_back, made = samples = samples or jax.vjp(own, params, has_aux=True)
            fake = _again(params, fake, pull_back)
            state = (
                variables['state'] if made is None else {**variables['state'], 'generator': made}
            )
        else:
            fake, state = of(params, z)
        return Deal(real, fake, condition, real_key, fake_key, state, near, (keys[:3], samples))

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        deal_key, real_key, fake_key, penalty_key, line_key = jax.random.split(key, 5)
        deal = self._deal(variables, batch, deal_key)
        keys = (deal.real_key, real_key), (deal.fake_key, fake_key)
        real, state = self._judge(variables, deal.real, deal.condition, keys=keys[0])
        variables = {**variables, 'state': state}
        fake, state = self._judge(variables, deal.fake, deal.condition, keys=keys[1])
        values = OBJECTIVES[self.loss].discriminator(real.logits, fake.logits)
        metrics = {
            'real_logit': real.logits,
            'fake_logit': fake.logits,
            'wasserstein': real.logits - fake.logits,
        }
        if real.class_logits is not None:
            counts = _counts(batch)
            metrics['accuracy'] = classes.accuracy(real.class_logits, batch['label'], counts)
            values += classes.cross_entropy(real.class_logits, batch['label'])
        if self.conditioning == 'auxiliary':
            values += classes.cross_entropy(fake.class_logits, jnp.argmax(deal.condition, axis=-1))

        def judge(x: Array, keys: Keys) -> Verdict:
            return self._judge(variables, x, deal.condition, keys=keys)[0]

        averages = state.get('discriminator', {}).get('lecam', {})
        penalties = weighted_penalties(
            self, Update(deal, real, fake, keys, judge, line_key, penalty_key, averages)
        )
        state, followed = self._logit_state.after(
            state, real.logits, fake.logits, self._packs(_counts(batch))
        )
        values = sum(penalties.values(), start=values)
        output = self._output(values, {**metrics, **followed, **penalties}, state)
        return output._replace(handed=deal.handed if self.reuse else ())

    def _generator_loss(
        self, variables: Variables, batch: Batch, key: Array, handed: Any = ()
    ) -> LossOutput:
        deal_key, real_key, fake_key = jax.random.split(key, 3)
        metrics = {}
        deal = self._deal(variables, batch, deal_key, handed)
        condition = deal.condition
        keys = (deal.real_key, real_key), (deal.fake_key, fake_key)
        # What the loss ignores, such as the real logits, the compiler does not compute.
        real, _ = self._judge(variables, deal.real, condition, keys=keys[0])
        fake, _ = self._judge(variables, deal.fake, condition, keys=keys[1])
        values = OBJECTIVES[self.loss].generator(real.logits, fake.logits)
        if self.generator_loss == 'feature_matching':
            features = (
                self._judge.features(variables, x, condition, keys=each)
                for x, each in zip((deal.real, deal.fake), keys, strict=True)
            )
            distance = feature_distance(*features, self._packs(_counts(batch)))
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

    def _packs(self, counts: Array) -> Array:
        """The mask of packs, all of whose examples count."""
        return jnp.all(counts.reshape(-1, self.pack), axis=1)

    def _output(self, values: Array, metrics: Mapping[str, Array], state: Any) -> LossOutput:
        """Repeats the values and metrics of each pack for its examples."""
        return LossOutput(
            *jax.tree.map(lambda a: jnp.repeat(a, self.pack) if a.ndim else a, (values, metrics)),
            state,
        )


@jax.custom_vjp
def _again(params: Any, x: Array, pull_back: Callable) -> Array:
    """The samples x of a generator with these parameters, generated before: their derivative is
    `pull_back`.
    """
    return x


_again.defvjp(
    lambda params, x, pull_back: (x, pull_back),
    lambda pull_back, change: (*pull_back(change), None, None),
)


def _counts(batch: Batch) -> Array:
    return batch.get('mask', jnp.ones(len(batch['x']), bool))
