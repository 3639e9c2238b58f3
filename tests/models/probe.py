"""One compiled program for each model of the zoo: everything that its contract is tested by."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models.base import HasLogProb
from tests.training.zoo_programs import start

KEY, OTHER_KEY = jax.random.key(1), jax.random.key(2)
MASK = np.arange(8) % 3 == 0
LABELS = jnp.array([0, 1, 2], jnp.int32)


def conditions_of(entry):
    """The conditions of three samples, by name: labels 0, 1, 2, or contexts; {} without any."""
    if (shape := getattr(entry.model, 'context_shape', None)) is not None:
        return {'context': jnp.asarray(np.random.default_rng(2).normal(size=(3, *shape)))}
    return {'label': LABELS} if getattr(entry.model, 'num_classes', None) is not None else {}


@functools.cache
def probe(entry):
    """Of (variables, batch, key of the samples, conditions of three): the LossOutput of each phase,
    with its state merged, its gradients, samples, samples with the conditions, and log p(x), by
    name; what a model lacks is left out.
    """
    model = entry.model

    def run(variables, batch, key, given):
        found = {'loss': {}, 'gradient': {}}
        for phase in model.phases:

            def total(params, phase=phase):
                out = phase.loss({**variables, 'params': params}, batch, KEY)
                return jnp.sum(jnp.where(batch['mask'], out.values, 0.0)), out

            gradient, out = jax.grad(total, has_aux=True)(variables['params'])
            states = jax.tree.map(lambda a: a[None], out.state)
            weights = jnp.sum(batch['mask'], dtype=jnp.float32)[None]
            state = phase.merge(variables['state'], states, weights)
            found['loss'][phase.name] = out._replace(state=state)
            found['gradient'][phase.name] = gradient
        context = {name: batch[name] for name in given if name == 'context'}
        if hasattr(model, 'sample'):
            rows = jnp.arange(5) % 3
            five = {name: conditions_of(entry)[name][rows] for name in context}
            found['sample'] = model.sample(variables, key, 5, **five)
            if given:
                found['conditional'] = model.sample(variables, key, 3, **given)
        if isinstance(model, HasLogProb):
            found['log_prob'] = model.log_prob(variables, batch['x'], KEY, **context)
        return found

    return jax.jit(run)


@functools.cache
def variables_of(entry):
    """As training starts, but for a little noise, and with counts where the model counts."""
    variables = jax.device_get(start(entry).variables)
    # Layers that start at zero would hide what is before them.
    generator = np.random.default_rng(1)
    params = jax.tree.map(
        lambda a: (a + 0.02 * generator.standard_normal(a.shape)).astype(a.dtype),
        variables['params'],
    )
    variables = {**variables, 'params': params}
    if entry.counted:
        out = probe(entry)(variables, entry.batch(seed=1), KEY, conditions_of(entry))['loss']
        (phase,) = entry.model.phases
        variables = {**variables, 'state': jax.device_get(out[phase.name].state)}
    return variables


def _with(batch, rows, other):
    """The batch with the rows [B] of another."""

    def mix(a, b):
        return jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), b, a)

    return jax.tree.map(mix, batch, other)


@functools.cache
def probed(entry, case='plain'):
    """The probe's findings, of the same program for each case:

    'plain': a batch, a key, the conditions of `conditions_of`.
    'others': every row but the first is another, and every condition but the first.
    'masked': `MASK` in place of a mask of ones, another key.
    'masked others': every row outside `MASK` is another.
    """
    batch, given = entry.batch(), conditions_of(entry)
    others = {
        **batch,
        'x': (batch['x'][::-1] * 0.5).astype(batch['x'].dtype),
        'label': (batch['label'] + 1) % 3,
    }
    if 'context' in batch:
        others['context'] = 1 - batch['context']
    first = jax.tree.map(lambda a: jnp.broadcast_to(a[0], a.shape), given)
    masked = {**batch, 'mask': jnp.asarray(MASK)}
    arguments = {
        'plain': (batch, KEY, given),
        'others': (_with(batch, jnp.arange(8) > 0, others), KEY, first),
        'masked': (masked, OTHER_KEY, given),
        'masked others': (
            _with(masked, ~masked['mask'], others | {'mask': masked['mask']}),
            OTHER_KEY,
            given,
        ),
    }[case]
    return jax.device_get(probe(entry)(variables_of(entry), *arguments))
