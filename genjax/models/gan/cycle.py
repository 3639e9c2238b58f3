"""The cycle-consistent adversarial network: translation without pairs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import flax_utils
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables, average_states
from genjax.models.gan.objectives import OBJECTIVES
from genjax.models.gan.pool import Pool, empty, exchange

_LOSS = OBJECTIVES['least_squares']


@dataclass(frozen=True)
class CycleGAN:
    """Unpaired translation between two domains (Zhu et al., 2017).

    Each of two generators plays against the discriminator of its target domain. The generators also
    minimise the cycle loss λ (‖G_ba(G_ab(a)) - a‖ + ‖G_ab(G_ba(b)) - b‖). Norms are means of
    absolute differences over an example.

    Data are x [B, 2, *shape], a and b; the a and b of an example are unpaired. Phases:
    'discriminators', then 'generators', each with both networks of its kind. The model implements
    `translate` instead of `sample`.

    The adversarial loss is that of Mao et al. (2017), with a factor of 1/2 that the paper omits for
    generators, so that the paper's λ = 10 is `cycle=5`.

    Attributes:
        generator_ab: images of domain a to images of domain b; its field `shape` is the shape
            of one image.
        generator_ba: images of domain b to images of domain a.
        discriminator_a: images of domain a to logits [B] or, of patches, [B, P].
        discriminator_b: the same for domain b.
        cycle: weight λ of the cycle loss.
        identity: weight of the identity loss ‖G_ab(b) - b‖ + ‖G_ba(a) - a‖.
        pool_size: earlier translations kept in each domain, of which the discriminator sees some
            (see `pool.exchange`), 50 in the paper; 0: none. They are the discriminators' state
            `pool`.
            Of the micro-batches of an update, the last one's pool is kept.
    """

    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module
    cycle: float = 5.0
    identity: float = 0.0
    pool_size: int = 0

    def __post_init__(self):
        shapes = [
            flax_utils.event_shape(getattr(self, name), name)
            for name in ('generator_ab', 'generator_ba')
        ]
        if shapes[0] != shapes[1]:
            raise UserError(f'CycleGAN: the generators emit {shapes[0]} and {shapes[1]}, not alike')

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example: an image of each domain."""
        return (2, *flax_utils.event_shape(self.generator_ab, 'generator_ab'))

    @property
    def data_values(self) -> Values | None:
        """The range of the generators' outputs."""
        return flax_utils.output_values(self.generator_ab, 'generator_ab')

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminators, then the generators."""
        return (
            Phase(
                'discriminators',
                ('discriminator_a', 'discriminator_b'),
                self._discriminator_loss,
                merge=self._merged,
            ),
            Phase('generators', ('generator_ab', 'generator_ba'), self._generator_loss),
        )

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only."""
        a, b = batch['x'][:, 0], batch['x'][:, 1]
        variables = flax_utils.initialise(
            key,
            {
                'generator_ab': (self.generator_ab, (a,)),
                'generator_ba': (self.generator_ba, (b,)),
                'discriminator_a': (self.discriminator_a, (a,)),
                'discriminator_b': (self.discriminator_b, (b,)),
            },
        )
        if not self.pool_size:
            return variables
        pools = {d: empty(self.pool_size, a.shape[1:]) for d in ('a', 'b')}
        return {**variables, 'state': _with_pools(variables['state'], pools)}

    def _merged(self, before: Any, states: Any, weights: Array) -> Any:
        """Averages the states of micro-batches; pools are those of the last one."""
        state = average_states(before, states, weights)
        if not self.pool_size:
            return state
        pools = {d: states[f'discriminator_{d}']['pool'] for d in ('a', 'b')}
        return _with_pools(state, jax.tree.map(lambda a: a[-1], pools))

    def translate(
        self, variables: Variables, x: Array, direction: Literal['ab', 'ba'] = 'ab'
    ) -> Array:
        """Translates images x [B, *shape] from domain a to b ('ab') or from b to a ('ba').

        Raises:
            UserError: another direction.
        """
        if direction not in ('ab', 'ba'):
            raise UserError(f"direction is 'ab' or 'ba', not {direction!r}")
        group = f'generator_{direction}'
        return flax_utils.apply(getattr(self, group), variables, group, x)[0].astype(jnp.float32)

    def _discriminator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        play = _Play(self, variables, key)
        values, metrics, pools = 0.0, {}, {}
        counts = batch.get('mask', jnp.ones(len(batch['x']), bool))
        for number, (source, target, real_source, real) in enumerate(_directions(batch)):
            fake = play(f'generator_{source}{target}', real_source)
            if self.pool_size:
                pool = variables['state'][f'discriminator_{target}']['pool']
                pool_key = jax.random.fold_in(key, number)
                fake, pools[target] = exchange(pool, fake, counts, pool_key)
            judge = f'discriminator_{target}'
            real_logits, fake_logits = play(judge, real), play(judge, fake)
            values += _mean(_LOSS.discriminator(real_logits, fake_logits))
            metrics[f'real_logit_{target}'] = _mean(real_logits)
            metrics[f'fake_logit_{target}'] = _mean(fake_logits)
        return LossOutput(values, metrics, _with_pools(play.state('discriminator'), pools))

    def _generator_loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        play = _Play(self, variables, key)
        values, metrics = 0.0, {}
        for source, target, real, other in _directions(batch):
            there, back = f'generator_{source}{target}', f'generator_{target}{source}'
            fake = play(there, real)
            adversarial = _mean(_LOSS.generator(0.0, play(f'discriminator_{target}', fake)))
            cycle = _mean(jnp.abs(play(back, fake) - real))
            values += adversarial + self.cycle * cycle
            metrics |= {f'adversarial_{target}': adversarial, f'cycle_{source}': cycle}
            if not isinstance(self.identity, int | float) or self.identity:
                identity = _mean(jnp.abs(play(there, other) - other))
                values += self.identity * identity
                metrics[f'identity_{target}'] = identity
        return LossOutput(values, metrics, play.state('generator'))


class _Play:
    """Calls the networks in training, passing the state from each call to the next."""

    def __init__(self, model: CycleGAN, variables: Variables, key: Array):
        self._model, self._start, self._variables = model, variables['state'], variables
        self._keys: Callable[[], Any] = iter(jax.random.split(key, 8)).__next__

    def __call__(self, group: str, x: Array) -> Array:
        out, state = flax_utils.apply(
            getattr(self._model, group), self._variables, group, x, train=True, key=self._keys()
        )
        self._variables = {**self._variables, 'state': state}
        return out.astype(jnp.float32)

    def state(self, player: str) -> dict[str, Any]:
        """Returns the player's updated state, with the other player's state unchanged."""
        now = self._variables['state']
        return {
            group: now[group] if group.startswith(player) else tree
            for group, tree in self._start.items()
        }


def _with_pools(state: Any, pools: Mapping[str, Pool]) -> Any:
    """Replaces or adds the pools of the discriminators of these domains."""
    groups = {f'discriminator_{domain}': pool for domain, pool in pools.items()}
    return {**state, **{g: {**state.get(g, {}), 'pool': pool} for g, pool in groups.items()}}


def _directions(batch: Batch) -> tuple[tuple[str, str, Array, Array], ...]:
    """Returns (source, target, source images, target images) for both directions."""
    x = batch['x'].astype(jnp.float32)
    return ('a', 'b', x[:, 0], x[:, 1]), ('b', 'a', x[:, 1], x[:, 0])


def _mean(x: Array) -> Array:
    """The mean over all but the first axis, [B, ...] -> [B]."""
    return jnp.mean(x.reshape(len(x), -1), axis=-1)
