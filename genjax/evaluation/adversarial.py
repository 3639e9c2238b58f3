"""Accuracy under adversarial changes of the data."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.evaluation.accuracy import no_labels, protocol_of
from genjax.evaluation.base import EvaluationData, Evaluator, Results, require
from genjax.models import classes
from genjax.models.base import Variables
from genjax.models.checks import check_number
from genjax.parallel.host import fetch
from genjax.sampling import apply


def pgd(
    loss: Callable[[Array, Array], Array],
    x: Array,
    key: Array,
    radius: float,
    steps: int,
    low: float = -math.inf,
    high: float = math.inf,
    draws: int = 1,
) -> Array:
    """Searches for the change of at most `radius` of every value of x [B, ...] that makes the loss
    largest: projected gradient ascent from a random start within the box, along the sign of the
    gradient, in steps of 2.5 radius / steps (Madry et al., "Towards deep learning models resistant
    to adversarial attacks", 2018).

    Args:
        loss: (x, key) -> loss [B]; if it is random, each step draws anew.
        x: where to search, float [B, ...].
        key: PRNG key.
        radius: largest change, in the units of x.
        steps: number of steps.
        low: least value that x may have.
        high: largest value.
        draws: draws of a random loss, whose gradients each step averages (Athalye et al., 2018).

    Returns:
        The changed x.
    """
    low, high = jnp.maximum(x - radius, low), jnp.minimum(x + radius, high)
    keys = jax.random.split(key, steps + 1)
    start = x + jax.random.uniform(keys[0], x.shape, x.dtype, -radius, radius)

    slope = jax.grad(lambda y, key: jnp.sum(loss(y, key)))

    def step(y: Array, key: Array) -> tuple[Array, None]:
        slopes = jax.lax.map(lambda key: slope(y, key), jax.random.split(key, draws))
        change = 2.5 * radius / steps * jnp.sign(jnp.sum(slopes, axis=0))
        return jnp.clip(y + change, low, high), None

    return jax.lax.scan(step, jnp.clip(start, low, high), keys[1:])[0]


@dataclass(frozen=True)
class Adversarial(Evaluator):
    """Accuracy on data that are changed to be misclassified, by an attack that knows the model: of
    a model that classifies, or by Bayes' rule of a class-conditional model with `log_prob`.

    The attack is `pgd` on the cross-entropy, through preprocessing and the whole classifier. Where
    these are random, as the bound of a VAE is, the gradient is the mean over `draws`, and the
    changed data are classified with draws of their own. Gives 'accuracy_<radius>' of each radius,
    'accuracy' of the data as they are, and 'protocol'. The best attack may leave less.

    Attributes:
        radii: largest changes of a value; of images, as shares of the range 0..255, within which
            the values stay.
        steps: steps of the attack.
        draws: draws of what is random, for each gradient.
        num_examples: number of labelled examples, the first ones of the split.
        batch_size: examples per batch.
    """

    radii: tuple[float, ...] = (0.1, 0.2, 0.3)
    steps: int = 20
    draws: int = 1
    num_examples: int = 1000
    batch_size: int = 500

    def __post_init__(self):
        for radius in self.radii:
            check_number('Adversarial.radii', radius, above=True)
        for name in ('steps', 'draws', 'num_examples', 'batch_size'):
            check_number(f'Adversarial.{name}', getattr(self, name), 1)

    def __call__(
        self, model: Any, variables: Variables, data: EvaluationData, key: Array
    ) -> Results:
        """Evaluates a model.

        Raises:
            UserError: the model does not classify, there are no labels, the data are tokens, or the
                gradient is zero everywhere.
        """
        require(self, model, classes.needed(model))
        right, seen, slopes = [], 0, False
        for batch in data.batches(self.batch_size):
            if 'label' not in batch:
                break
            if jnp.issubdtype(batch['x'].dtype, jnp.integer) and batch['x'].dtype != jnp.uint8:
                raise UserError('Adversarial changes images and continuous data, not tokens')
            found, slope, key = _attacked(
                self, model, data.preprocess, variables, batch['x'], batch['label'], key
            )
            found, slope, label, mask = fetch((found, slope, batch['label'], batch['mask']))
            right.append(found[mask & (label >= 0)][: self.num_examples - seen])
            seen, slopes = seen + len(right[-1]), slopes or bool(slope)
            if seen == self.num_examples:
                break
        if not seen:
            raise no_labels(self, data)
        if not slopes:
            raise UserError(
                'Adversarial: the gradient of the class loss is zero for all examples: the'
                f' preprocessing or the {type(model).__name__} hides it, and nothing was attacked'
            )
        clean, *rest = np.mean(np.concatenate(right), axis=0, dtype=float).tolist()
        attack = f'PGD, {self.steps} steps' + f' of {self.draws} draws' * (self.draws > 1)
        return {
            **{f'accuracy_{r:g}': a for r, a in zip(self.radii, rest, strict=True)},
            'accuracy': clean,
            'protocol': ', '.join([attack, *protocol_of(model, data, seen)]),
        }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _attacked(
    evaluator: Adversarial,
    model: Any,
    preprocess: Chain,
    variables: Variables,
    x: Array,
    label: Array,
    key: Array,
) -> tuple[Array, Array, Array]:
    """Classifies examples before and after the attack of each radius.

    Returns:
        Correctness, bool [B, 1 + radii], the unchanged examples first; whether any gradient is
        nonzero; and the key for the next batch.
    """
    key, clean_key, *keys = jax.random.split(key, 2 + len(evaluator.radii))
    image = x.dtype == jnp.uint8
    low, high = (0.0, 255.0) if image else (-math.inf, math.inf)
    x = x.astype(jnp.float32)

    logits = functools.partial(apply.logits, model, preprocess, variables)

    def loss(x: Array, key: Array) -> Array:
        return classes.cross_entropy(logits(x, key), label)

    def right(x: Array, key: Array) -> Array:
        return jnp.argmax(logits(x, key), axis=-1) == label

    found = [right(x, clean_key)]
    for radius, key_of_radius in zip(evaluator.radii, keys, strict=True):
        attack_key, judge_key = jax.random.split(key_of_radius)
        radius = 255 * radius if image else radius
        changed = pgd(
            loss, x, attack_key, radius, evaluator.steps, low, high, draws=evaluator.draws
        )
        found.append(right(changed, judge_key))
    slope = jax.grad(lambda x: jnp.sum(loss(x, clean_key)))(x)
    return jnp.stack(found, axis=-1), jnp.any(slope != 0), key
