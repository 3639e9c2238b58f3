"""The classifier as an energy-based model, and Langevin dynamics."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import classes, conditions, draws
from genjax.models.base import Batch, LossOutput, Phase, Values, Variables, average_states
from genjax.models.checks import check_number
from genjax.models.classifier import Classifier


def langevin(
    log_density: Callable[[Array], Array],
    x: Array,
    key: Array,
    steps: int,
    step_size: Array | float,
    noise: Array | float,
) -> Array:
    """Moves x [B, *event] by x + step_size ∇log p(x) + noise ε, `steps` times, with ε standard
    normal: stochastic gradient Langevin dynamics (Welling & Teh, 2011). Where step_size is noise² /
    2 and small, the chain has the distribution p; a larger one is of a lower temperature.

    Args:
        log_density: x to log p(x) [B] up to a constant, each row by itself.
        x: where the chains are.
        key: PRNG key.
        steps: number of steps.
        step_size: weight of the gradient.
        noise: standard deviation of the noise.
    """
    score = jax.grad(lambda x: jnp.sum(log_density(x)))

    def step(x: Array, key: Array) -> tuple[Array, None]:
        return x + step_size * score(x) + noise * jax.random.normal(key, x.shape), None

    return jax.lax.scan(step, x, jax.random.split(key, steps))[0]


@dataclass(frozen=True)
class JEM:
    """A classifier whose logits f(x) are a joint density log p(x, y) = f_y(x) - log Z (Grathwohl et
    al., "Your classifier is secretly an energy based model and you should treat it like one",
    2020): p(y | x) is their softmax, and log p(x) = log Σ_y exp f_y(x) - log Z.

    The loss is the cross-entropy of p(y | x), and `alpha` times log p(x) of samples minus that of
    data, whose gradient is the likelihood's. Samples come from persistent chains: each example of a
    batch takes one out of a buffer and moves it by `langevin` (Tieleman, 2008; Du & Mordatch,
    2019). A label of -1 is unlabelled, and adds to log p(x) alone.

    Data are in [-1, 1]; chains start with uniform noise there. Parameter groups: 'network' and
    'head', as in `Classifier`, and 'buffer', without parameters, whose state are the chains.
    Metrics: 'accuracy', and 'gap', log p of data minus that of samples.

    Attributes:
        network: data to features [B, ...], such as `MLP` without `shape`.
        num_classes: number of classes K.
        shape: shape of one example.
        alpha: weight of -log p(x).
        sgld_steps: steps of a chain in each update, and of a sample from where its chain is.
        step_size: weight of the gradient in a step.
        noise: standard deviation of its noise.
        buffer: number of chains, at least that of examples in a batch.
        restart: share of the chains of a batch that start anew.
    """

    network: nn.Module
    num_classes: int
    shape: tuple[int, ...]
    alpha: float = 1.0
    sgld_steps: int = 20
    step_size: float = 1.0
    noise: float = 0.01
    buffer: int = 10_000
    restart: float = 0.05

    context_shape: ClassVar[None] = None
    takes_unlabelled: ClassVar[bool] = True

    def __post_init__(self):
        object.__setattr__(self, 'shape', tuple(self.shape))
        for name, low in (('sgld_steps', 1), ('buffer', 1), ('alpha', 0), ('noise', 0)):
            check_number(f'JEM.{name}', getattr(self, name), low)
        check_number('JEM.restart', self.restart, 0, 1)
        _ = self._classifier

    @property
    def _classifier(self) -> Classifier:
        return Classifier(self.network, self.num_classes)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase('jem', ('network', 'head', 'buffer'), self._loss, merge=_merged),)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def data_values(self) -> Values:
        return Values('JEM', -1, 1)

    def init(self, key: Array, batch: Batch) -> Variables:
        """Draws the initial variables; `batch` gives shapes and dtypes only.

        Raises:
            UserError: the data have no labels, or a batch is larger than the buffer.
        """
        if len(batch['x']) > self.buffer:
            raise UserError(
                f'JEM.buffer={self.buffer} chains are too few for batches of {len(batch["x"])}'
            )
        key, buffer_key = jax.random.split(key)
        variables = self._classifier.init(key, batch)
        chains = self._noise(buffer_key, self.buffer)
        return {
            'params': {**variables['params'], 'buffer': {}},
            'state': {**variables['state'], 'buffer': chains},
        }

    def classify(self, variables: Variables, x: Array) -> Array:
        """Computes the class logits [B, K] of x [B, *event], log p(x, class) + log Z."""
        return self._classifier.classify(variables, x)

    def features(self, variables: Variables, x: Array) -> Array:
        """Computes the network's features [B, D], the input of the head, of x [B, *event]."""
        return self._classifier.features(variables, x)

    def energy(self, variables: Variables, x: Array) -> Array:
        """Computes -log p(x) - log Z [B] of x [B, *event]."""
        return -jax.nn.logsumexp(self.classify(variables, x), axis=-1)

    def score(self, variables: Variables, x: Array) -> Array:
        """Computes ∇log p(x) [B, *event]."""
        return jax.grad(lambda x: -jnp.sum(self.energy(variables, x)))(x)

    def sample(
        self,
        variables: Variables,
        key: Array,
        num: int,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Moves `num` of the chains by `sgld_steps`: [num, *event]. Without a label, of p(x); with
        labels, chains drawn by p(label | x) of where they are, moved by log p(x, label).

        Raises:
            UserError: a label that is not a class, or a context.
        """
        slot_key, chain_key, label_key = jax.random.split(key, 3)
        chains = variables['state']['buffer']
        if label is None and context is None:
            slots = jax.random.randint(slot_key, (num,), 0, self.buffer)
            return self._moved(variables, chains[slots], chain_key)
        given = conditions.to_sample(self, label_key, num, label, context)
        log_p = jax.nn.log_softmax(self.classify(variables, chains))
        log_weights = jnp.matmul(given, log_p.T, precision='highest')
        slots = draws.categorical(slot_key, log_weights)
        return self._moved(variables, chains[slots], chain_key, given)

    def _noise(self, key: Array, num: int) -> Array:
        return jax.random.uniform(key, (num, *self.shape), minval=-1.0, maxval=1.0)

    def _moved(
        self, variables: Variables, x: Array, key: Array, given: Array | None = None
    ) -> Array:
        """Moves x by log p(x), or by log p(x, class) of one-hot classes [B, K]."""

        def log_density(x: Array) -> Array:
            if given is None:
                return -self.energy(variables, x)
            return jnp.sum(self.classify(variables, x) * given, axis=-1)

        return langevin(log_density, x, key, self.sgld_steps, self.step_size, self.noise)

    def _loss(self, variables: Variables, batch: Batch, key: Array) -> LossOutput:
        slot_key, noise_key, restart_key, chain_key, real_key, fake_key = jax.random.split(key, 6)
        x, label = batch['x'].astype(jnp.float32), batch['label']
        mask = batch.get('mask', jnp.ones(len(x), bool))
        chains = variables['state']['buffer']
        slots = jax.random.permutation(slot_key, self.buffer)[: len(x)]
        restarted = jax.random.bernoulli(restart_key, self.restart, (len(x),))
        before = chains[slots]
        start = jnp.where(_rows(restarted, x), self._noise(noise_key, len(x)), before)
        fake = jax.lax.stop_gradient(self._moved(variables, start, chain_key))
        chains = chains.at[slots].set(jnp.where(_rows(mask, x), fake, before))

        logits, state = self._classifier.logits(variables, x, real_key)
        sampled, state = self._classifier.logits({**variables, 'state': state}, fake, fake_key)
        gap = jax.nn.logsumexp(logits, axis=-1) - jax.nn.logsumexp(sampled, axis=-1)
        values = classes.cross_entropy(logits, label) - self.alpha * gap
        metrics = {'accuracy': classes.accuracy(logits, label, mask), 'gap': gap}
        return LossOutput(values, metrics, {**state, 'buffer': chains})


def _rows(values: Array, x: Array) -> Array:
    """Values [B], broadcast against x [B, *event]."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))


def _merged(before: Any, states: Any, weights: Array) -> Any:
    """Keeps the chains that a micro-batch moved, the last one's of several; averages the rest."""
    averaged = average_states(before, states, weights)
    old = before['buffer']
    chains = functools.reduce(
        lambda kept, new: jnp.where(new != old, new, kept), states['buffer'], old
    )
    return {**averaged, 'buffer': chains}
