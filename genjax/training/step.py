"""One training step, for every family: each phase in turn computes a gradient and updates its
parameters.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from genjax.data.augmentation import augmented
from genjax.models.base import Batch, Phase, Variables
from genjax.schedules import at_step
from genjax.training import averages
from genjax.training.contract import checked_loss, checked_state
from genjax.training.experiment import Experiment
from genjax.training.finite import all_finite
from genjax.training.frozen import frozen_groups, merged, trained
from genjax.training.norms import norms
from genjax.training.rounding import computed, rounded
from genjax.training.state import TrainState, on_device, state_of_networks

Metrics = dict[str, Array]

_ROUNDING = 2**31 - 1  # the child of an update's key that is none of its micro-batches


def train_step(
    experiment: Experiment, state: TrainState, batch: Batch, *, unroll: bool | None = None
) -> tuple[TrainState, Metrics]:
    """Pure: `(state, batch [rows_per_step, ...]) -> (state, metrics)`; metrics are named
    `phase/metric`.

    Within a step every update has its own slice of the batch and its own key.

    Args:
        experiment: the experiment.
        state: state before the step.
        batch: batch of the step.
        unroll: unroll the loops over repeats and micro-batches in Python; None: on a CPU only,
            since XLA:CPU compiles convolutions in a loop, even of length 1 or unrolled by
            `lax.scan`, to code an order of magnitude slower.
    """
    if unroll is None:
        unroll = jax.default_backend() == 'cpu'
    scan = _written_out if unroll else jax.lax.scan
    key = jax.random.fold_in(state.key, state.step)
    phases = at_step(experiment.model, state.step).phases
    slices = max(phase.repeats for phase in phases)
    batch = jax.tree.map(lambda a: _split_rows(a, slices), batch)
    variables, opt_state, metrics, handed = state.variables, dict(state.opt_state), {}, ()
    for turn, phase in enumerate(phases):
        turn_key = jax.random.fold_in(key, turn)
        update = _phase_update(experiment, phase, state.step, scan)

        def repeat(carry, inputs, update=update):
            *carry, metrics, handed = update(*carry, *inputs)
            return tuple(carry), (metrics, handed)

        (variables, opt_state[phase.name]), (phase_metrics, handed) = scan(
            repeat,
            (variables, opt_state[phase.name]),
            (
                jax.tree.map(lambda a, n=phase.repeats: a[:n], batch),
                jax.random.split(turn_key, phase.repeats),
                handed if phase.takes_over else (),
            ),
        )
        metrics |= {f'{phase.name}/{k}': jnp.mean(v, axis=0) for k, v in phase_metrics.items()}

    updates = state.step + 1
    rates = [
        averages.rate(average, updates, experiment.batch_size)
        for average in at_step(experiment.ema, state.step)
    ]
    params = computed(trained(variables['params'], experiment.frozen), experiment.params_dtype)
    statistics, kept = state_of_networks(variables), _frozen_state(experiment, variables)
    new = TrainState(
        updates,
        variables,
        opt_state,
        ema=tuple(
            _averaged(params, on_device(average), rate)
            for rate, average in zip(rates, state.ema, strict=True)
        ),
        ema_state=tuple(
            {**_averaged(statistics, average, rate), **kept}
            for rate, average in zip(rates, state.ema_state, strict=True)
        ),
        key=state.key,
    )
    return new, metrics


def train_steps(
    experiment: Experiment, state: TrainState, batches: Batch, *, unroll: bool | None = None
) -> tuple[TrainState, Metrics]:
    """Runs one step on each of the batches [steps, rows_per_step, ...]; metrics are [steps]."""
    # The carry of a loop must stay in one memory: `ema_on_host` moves averages after the last step.
    state = state.replace(ema=on_device(state.ema))
    return jax.lax.scan(lambda s, b: train_step(experiment, s, b, unroll=unroll), state, batches)


def _phase_update(experiment: Experiment, phase: Phase, step: Array, scan: Callable) -> Callable:
    """Returns `(variables, opt_state, batch, key, handed) -> (variables, opt_state, metrics,
    handed)`, one update of one phase in a step; what is handed on is [micro-batches, ...].
    """
    optimizer = experiment.optimizer_of(phase)

    def own(variables: Variables) -> Any:
        return {group: variables['params'][group] for group in phase.trains}

    def part_of(variables: Variables) -> Any:
        """The parameters that the phase trains, in float32."""
        return computed(trained(own(variables), experiment.frozen), experiment.params_dtype)

    def sums(variables: Variables, batch: Batch, key: Array, handed: Any) -> tuple[Any, ...]:
        """Gradient, metrics and weight summed over unmasked examples, and the new model state and
        what is handed on.
        """
        preprocess_key, loss_key = jax.random.split(key)
        if experiment.augment:  # `split(key)[i]` is `fold_in(key, i)`: the third child of the key
            batch = augmented(experiment.augment, batch, jax.random.fold_in(key, 2))
        batch = {**batch, 'x': experiment.preprocess(batch['x'], preprocess_key)[0]}
        mask = batch.get('mask', jnp.ones(batch['x'].shape[0], bool))
        weight = jnp.sum(mask, dtype=jnp.float32)

        def total(value):
            value = value.astype(jnp.float32)
            return jnp.sum(jnp.where(mask, value, 0.0)) if value.ndim else value * weight

        def objective(part):
            params = {**variables['params'], **merged(part, own(variables))}
            params = computed(params, experiment.params_dtype)
            taken = (handed,) if phase.takes_over else ()
            output = phase.loss({**variables, 'params': params}, batch, loss_key, *taken)
            output = checked_loss(phase, output, len(mask), variables['state'])
            return total(output.values), output

        gradient, output = jax.grad(objective, has_aux=True)(part_of(variables))
        metrics = {k: total(v) for k, v in {**output.metrics, 'loss': output.values}.items()}
        return (gradient, metrics, weight), (output.state, output.handed)

    def update(variables, opt_state, batch, key, handed):
        if experiment.accumulate == 1:
            totals, kept = sums(variables, batch, key, jax.tree.map(lambda a: a[0], handed))
            kept = jax.tree.map(lambda a: a[None], (*kept, totals[-1]))
        else:
            sums_of = jax.jit(sums)  # traced once

            def micro_batch(totals, inputs):
                new, kept = sums_of(variables, *inputs)
                return jax.tree.map(jnp.add, totals, new), (*kept, new[-1])

            micro_batches = jax.tree.map(lambda a: _split_rows(a, experiment.accumulate), batch)
            inputs = (micro_batches, jax.random.split(key, experiment.accumulate), handed)
            first = jax.tree.map(lambda a: a[0], inputs)
            shapes, _ = jax.eval_shape(sums_of, variables, *first)
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            totals, kept = scan(micro_batch, zeros, inputs)
        (gradient, metrics, weight), (states, handed, weights) = totals, kept
        before = variables['state']
        model_state = checked_state(phase, before, phase.merge(before, states, weights))
        model_state = {**model_state, **_frozen_state(experiment, variables)}

        weight = jnp.maximum(weight, 1.0)
        gradient = jax.tree.map(lambda g: g / weight, gradient)
        metrics = {name: value / weight for name, value in metrics.items()}
        metrics['grad_norm'] = norm = optax.tree.norm(gradient)
        gradient_norms = norms(gradient, experiment.norms)
        if experiment.clip_norm is not None:
            scale = jnp.minimum(1.0, experiment.clip_norm / jnp.maximum(norm, 1e-12))
            gradient = jax.tree.map(lambda g: g * scale, gradient)

        part = part_of(variables)
        clocked = _schedules_at(step, computed(opt_state, experiment.moments_dtype))
        changes, new_opt_state = optimizer.update(gradient, clocked, part)
        change_norms, sizes = (norms(tree, experiment.norms) for tree in (changes, part))
        for name, value in gradient_norms.items():
            metrics[f'grad_norm/{name}'] = value
            metrics[f'update_ratio/{name}'] = change_norms[name] / sizes[name]
        params_key, moments_key = jax.random.split(jax.random.fold_in(key, _ROUNDING))
        new_opt_state = rounded(new_opt_state, experiment.moments_dtype, moments_key)
        part = rounded(optax.apply_updates(part, changes), experiment.params_dtype, params_key)
        new = merged(part, own(variables))
        new_variables = {'params': {**variables['params'], **new}, 'state': model_state}
        if experiment.nonfinite == 'skip':
            finite = jnp.isfinite(metrics['loss']) & jnp.isfinite(norm)
            finite &= all_finite((new_variables, new_opt_state))
            new_variables, new_opt_state = jax.tree.map(
                lambda new, old: jnp.where(finite, new, old),
                (new_variables, new_opt_state),
                (variables, opt_state),
            )
            metrics['skipped'] = 1.0 - finite
        return new_variables, new_opt_state, metrics, handed

    return update


def _frozen_state(experiment: Experiment, variables: Variables) -> dict[str, Any]:
    """Model state of the groups whose parameters are all frozen."""
    groups = frozen_groups(variables['params'], experiment.frozen)
    return {g: state for g, state in variables['state'].items() if g in groups}


def _schedules_at(step: Array, opt_state: optax.OptState) -> optax.OptState:
    """Sets the counts of an optimizer's schedules, at any depth, to the step.

    A part of the state that consists only of a count is the clock of a schedule
    (`optax.scale_by_schedule`, scheduled `add_decayed_weights`, `optax.inject_hyperparams`). Counts
    beside moments, such as Adam's for its bias correction, remain counts of updates.
    """

    def is_clock(part: Any) -> bool:
        return getattr(part, '_fields', None) == ('count',)

    def at_step(part: Any) -> Any:
        return part._replace(count=step.astype(part.count.dtype)) if is_clock(part) else part

    return jax.tree.map(at_step, opt_state, is_leaf=is_clock)


def _split_rows(a: Array, parts: int) -> Array:
    """[B, ...] -> [parts, B / parts, ...]; each part has every `parts`-th row.

    Strided rather than contiguous, so that each part stays evenly sharded over the devices.
    """
    return jnp.moveaxis(a.reshape(a.shape[0] // parts, parts, *a.shape[1:]), 1, 0)


def _written_out(body: Callable, carry: Any, inputs: Any) -> tuple[Any, Any]:
    """`lax.scan` unrolled in Python."""
    outputs = []
    for i in range(len(jax.tree.leaves(inputs)[0])):
        carry, output = body(carry, jax.tree.map(lambda a, i=i: a[i], inputs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *values: jnp.stack(values), *outputs)


def _averaged(new: Any, average: Any, rate: Array) -> Any:
    """Moving average of a tree's floats; integers are copied from `new`."""

    def moved(new: Array, old: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return new
        return optax.incremental_update(new, old, rate)

    return jax.tree.map(moved, new, average)
