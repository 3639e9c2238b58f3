"""The networks of a diffusion model as denoisers, and their loss."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions, flax_utils
from genjax.models.base import Batch, LossOutput, Variables
from genjax.models.diffusion.continuous_base import ContinuousModel
from genjax.models.diffusion.coupling import optimal_noise
from genjax.models.diffusion.learned_variance import LearnedVariance
from genjax.models.diffusion.parameterisations import Parameterisation, Prediction
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import Denoiser
from genjax.models.diffusion.weighting import TimeSampling, Weighting

_FEATURE_NOISE = 0.1


class Denoising(ContinuousModel):
    """Methods of a `DiffusionModel` that call its networks: what guides use.

    A network has a parameter group: 'network' is that of the model, others are those of its guide.
    """

    path: Path
    parameterisation: Parameterisation
    weighting: Weighting
    times: TimeSampling
    coupling: str
    variance: LearnedVariance | None
    uncertainty: nn.Module | None
    condition_dropout: float
    _networks: dict[str, nn.Module]

    def with_condition(self, network: nn.Module) -> nn.Module:
        """Configures a denoising network with this model's condition, `time_scale` and variance."""
        if self.variance is not None:
            *sides, channels = flax_utils.event_shape(network, 'network')
            network = network.clone(shape=(*sides, 2 * channels))
        return self.with_times(conditions.with_condition(network, self))

    def with_times(self, network: nn.Module) -> nn.Module:
        """Configures a network with this model's `time_scale`."""
        return flax_utils.with_time_scale(network, self.parameterisation.time_scale)

    def denoiser(
        self, variables: Variables, condition: Array | None = None, *, group: str = 'network'
    ) -> Denoiser:
        """`(x, t) -> Prediction` of a group's network, for these conditions."""
        return lambda x, t: self.denoise(variables, x, t, condition, group=group)

    def denoise(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        condition: Array | None = None,
        *,
        group: str = 'network',
    ) -> Prediction:
        """Predicts x and ε from x_t [B, *event] at t, [] or [B, 1, ...], by a group's network.

        Args:
            variables: variables of all groups.
            x: x_t.
            t: its time.
            condition: labels int32 [B], or conditions [B, F] or [B, F + 1], see `conditions`.
            group: parameter group of the network.
        """
        t = jnp.broadcast_to(t, (len(x), *(1,) * (x.ndim - 1)))
        output, _ = self.output(variables, x, t, condition, group=group)
        return self._prediction(x, t, output)

    def _prediction(self, x: Array, t: Array, output: Array) -> Prediction:
        share = None
        if self.variance is not None:
            output, share = self.variance.split(output)
        prediction = self.parameterisation.prediction(self.path, x, t, output)
        return prediction._replace(share=share)

    def output(
        self,
        variables: Variables,
        x: Array,
        t: Array,
        condition: Array | None = None,
        *,
        group: str,
        **options: Any,
    ) -> tuple[Array, Any]:
        """Computes a network's output for x_t at t [B, 1, ...], F [B, *event] or, with learned
        variances, of twice the channels; and the new state.
        """
        x, time = self.network_inputs(x, t)
        out, state = flax_utils.apply(
            self._networks[group], variables, group, x, time, condition, **options
        )
        return out.astype(jnp.float32), state

    def network_inputs(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Scales x_t at t [B, 1, ...] for a network; returns the network's time [B], too."""
        time = self.parameterisation.network_time(self.path, t).reshape(len(x))
        return x * self.parameterisation.input_scale(self.path, t), time

    def features(
        self,
        variables: Variables,
        x: Array,
        t: Array | float | None = None,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the network's features (see `flax_utils.hidden`), a mean over positions, given a
        label or context, or the null condition: [B, D].

        Args:
            variables: variables of all groups.
            x: data [B, *event].
            t: time; None: where the standard deviation of the noise is a tenth of the scale of the
                data. All examples have the same noise.
            label: int32 [B].
            context: [B, *context_shape].

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null(label, context, len(x), 'features')
        t = self.path.time(-2.0 * jnp.log(_FEATURE_NOISE)) if t is None else t
        t = jnp.full((len(x), *(1,) * (x.ndim - 1)), t)
        noise = jax.random.normal(jax.random.key(0), x.shape[1:])
        x = self.path.alpha(t) * x + self.path.sigma(t) * noise
        x, time = self.network_inputs(x, t)
        network = self._networks['network']
        return flax_utils.pooled(
            flax_utils.hidden(network, variables, 'network', x, time, condition)[1]
        )

    def diffuse(
        self, key: Array, x: Array, mask: Array | None, condition: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Draws times t [B, 1, ...] and noise for x [B, *event]; returns (x_t, t, noise)."""
        time_key, noise_key = jax.random.split(key)
        t = self.times.draw(self.path, time_key, len(x)).reshape(-1, *(1,) * (x.ndim - 1))
        noise = jax.random.normal(noise_key, x.shape)
        if self.coupling == 'optimal':
            noise = optimal_noise(x, noise, mask, condition)
        return self.path.alpha(t) * x + self.path.sigma(t) * noise, t, noise

    def denoising_loss(
        self, variables: Variables, batch: Batch, key: Array, group: str = 'network'
    ) -> LossOutput:
        """Loss of a group's network: the weighted squared error of its output."""
        diffuse_key, label_key, network_key = jax.random.split(key, 3)
        x = batch['x'].astype(jnp.float32)
        condition = conditions.of_batch(self, batch)
        noisy, t, noise = self.diffuse(diffuse_key, x, batch.get('mask'), condition)
        if condition is not None:
            condition = conditions.dropped(self, label_key, condition, self.condition_dropout)
        output, state = self.output(
            variables, noisy, t, condition, group=group, train=True, key=network_key
        )
        a, b = self.parameterisation.target(self.path, t)
        direct = output if self.variance is None else self.variance.split(output)[0]
        error = jnp.mean((direct - (a * x + b * noise)).reshape(len(x), -1) ** 2, axis=-1)
        weight = self.weighting(self.path, self.parameterisation, self.times, t)
        values, metrics = weight.reshape(len(x)) * error, {'error': error}
        if self.uncertainty is not None and group == 'network':
            time = self.parameterisation.network_time(self.path, t).reshape(len(x))
            log_error, own = flax_utils.apply(self.uncertainty, variables, 'uncertainty', time)
            del own  # without state
            values = values * jnp.exp(-log_error) + log_error
        if self.variance is not None:
            prediction = self._prediction(noisy, t, output)
            bound = self.variance.loss(self.path, prediction, x, t)
            values, metrics = values + self.variance.weight * bound, {**metrics, 'bound': bound}
        return LossOutput(values, metrics, state)

    def _given_or_null(
        self, label: Array | None, context: Array | None, num: int, user: str
    ) -> Array | None:
        condition = conditions.given(self, label, context, needed=False)
        if condition is None and conditions.is_conditional(self):
            self.check_learns_null(user)
            condition = conditions.null(self, num)
        return condition

    def check_learns_null(self, user: str) -> None:
        """Raises a UserError that names the `user` if `condition_dropout` is 0."""
        if isinstance(self.condition_dropout, (int, float)) and self.condition_dropout == 0.0:
            raise UserError(
                f'{user} asks the network for its output without a condition, which is not trained '
                'with DiffusionModel.condition_dropout=0: train with .1'
            )
