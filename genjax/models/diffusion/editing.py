"""Sampling of a diffusion model from given data: completion, edits, and inversion."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from genjax.errors import UserError
from genjax.models import conditions
from genjax.models.base import Variables
from genjax.models.diffusion.denoising import Denoising
from genjax.models.diffusion.guided_denoisers import inpainting
from genjax.models.diffusion.paths import Path
from genjax.models.diffusion.samplers import (
    DDIM,
    Ancestral,
    Denoiser,
    OneStep,
    Sampler,
    transition_variance,
)
from genjax.models.diffusion.sampling import DiffusionSampling

_DDIM = DDIM()


@dataclasses.dataclass(frozen=True)
class RePaint(OneStep):
    """Replaces the known part after each step of another sampler, and repeats the step from x_s
    noised to x_t, so that the parts agree (Lugmayr et al., "RePaint", 2022; jumps of one step).

    Attributes:
        sampler: sampler of the steps.
        known: data, broadcast to [B, *event].
        mask: bool, broadcast to [B, *event]; True where data are known.
        repeats: times that each step is taken.
    """

    sampler: OneStep
    known: Array
    mask: Array
    repeats: int = 10

    def step(
        self, denoise: Denoiser, path: Path, x: Array, t: Array, s: Array, key: Array
    ) -> Array:
        ratio = path.alpha(t) / path.alpha(s)
        added = jnp.sqrt(transition_variance(path, t, s))

        def once(x: Array, key: Array) -> tuple[Array, Array]:
            step_key, known_key, noise_key = jax.random.split(key, 3)
            after = self.sampler.step(denoise, path, x, t, s, step_key)
            noise = jax.random.normal(known_key, x.shape)
            known = path.alpha(s) * self.known + path.sigma(s) * noise
            after = jnp.where(self.mask, known, after)
            return ratio * after + added * jax.random.normal(noise_key, x.shape), after

        return jax.lax.scan(once, x, jax.random.split(key, self.repeats))[1][-1]


class Editing(Denoising):
    """Methods of a `DiffusionModel` that start from data."""

    sampling: DiffusionSampling
    _sampling_denoiser: Callable[..., Denoiser]

    def inpaint(
        self,
        variables: Variables,
        key: Array,
        known: Array,
        mask: Array,
        *,
        data_scale: Array | float = 0.5,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws examples [B, *event] given the data `known` [B, *event] where `mask` (bool,
        broadcast to it) is true; see `guided_denoisers.inpainting`.
        """
        label_key, key = jax.random.split(key)
        condition = conditions.to_sample(self, label_key, len(known), label, context)

        def towards_known(denoise: Denoiser, path: Path) -> Denoiser:
            return inpainting(denoise, path, known, mask, data_scale)

        denoise = self._sampling_denoiser(variables, condition, wrap=towards_known)
        return jnp.where(mask, known, self._run(denoise, key, len(known)))

    def repaint(
        self,
        variables: Variables,
        key: Array,
        known: Array,
        mask: Array,
        *,
        repeats: int = 10,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws as `inpaint` does, by `RePaint`: without gradients of the network, in `repeats`
        times the passes. Steps are those of the sampling options if these are of one step and
        random, such as `Ancestral`.

        Raises:
            UserError: the sampler has no single steps; or a label or context that the model does
                not take.
        """
        sampler = self.sampling.sampler
        if not isinstance(sampler, OneStep):
            raise UserError(
                f'repaint() needs a sampler of single steps, such as {Ancestral()}, not {sampler}'
            )
        label_key, key = jax.random.split(key)
        condition = conditions.to_sample(self, label_key, len(known), label, context)
        denoise = self._sampling_denoiser(variables, condition)
        return self._run(denoise, key, len(known), sampler=RePaint(sampler, known, mask, repeats))

    def edit(
        self,
        variables: Variables,
        key: Array,
        x: Array,
        strength: float,
        *,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Draws examples [B, *event] near x [B, *event]: adds the noise of the time `strength`
        t_max, in (0, 1], and samples from there (Meng et al., "SDEdit", 2022).

        Raises:
            UserError: another strength, or a label or context that the model does not take.
        """
        if not 0.0 < strength <= 1.0:
            raise UserError(f'strength must be more than 0 and at most 1, not {strength}')
        label_key, noise_key, key = jax.random.split(key, 3)
        condition = conditions.to_sample(self, label_key, len(x), label, context)
        path = self._sampling_path
        part = dataclasses.replace(path, t_max=strength * path.t_max)
        times = self.sampling.grid(part, self.sampling.steps)
        noise = jax.random.normal(noise_key, x.shape)
        noisy = path.alpha(times[0]) * x + path.sigma(times[0]) * noise
        denoise = self._sampling_denoiser(variables, condition)
        return self.sampling.sampler(denoise, path, times, noisy, key)

    def invert(
        self,
        variables: Variables,
        x: Array,
        *,
        sampler: Sampler = _DDIM,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Computes the noise [B, *event], of variance 1, from which `generate` leads to x: the
        steps of a deterministic sampler in reverse (Song et al., "DDIM", 2021, section 5.4).

        x is taken as the state at t_min. Without a label or context, the null condition is used.

        Raises:
            UserError: a label or context that the model does not take; or neither, and the model
                was trained without condition dropout.
        """
        condition = self._given_or_null(label, context, len(x), 'invert')
        path = self._sampling_path
        with jax.ensure_compile_time_eval():
            times = self._times
            ends_there = bool(times[-2] <= 1.01 * path.t_min)  # before the step to 0
            times = (times[:-1] if ends_there else times.at[-1].set(path.t_min))[::-1]
        denoise = self._sampling_denoiser(variables, condition)
        start = path.alpha(times[0]) * x
        noise = sampler(denoise, path, times, start, jax.random.key(0))
        return noise / path.sigma(times[-1])

    def generate(
        self,
        variables: Variables,
        noise: Array,
        *,
        sampler: Sampler = _DDIM,
        label: Array | None = None,
        context: Array | None = None,
    ) -> Array:
        """Samples [B, *event] from given noise [B, *event], by a deterministic sampler; raises what
        `invert` does.
        """
        condition = self._given_or_null(label, context, len(noise), 'generate')
        path, times = self._sampling_path, self._times
        denoise = self._sampling_denoiser(variables, condition)
        start = path.sigma(times[0]) * noise
        return sampler(denoise, path, times, start, jax.random.key(0))

    @property
    def _sampling_path(self) -> Path:
        return self.sampling.path or self.path

    @property
    def _times(self) -> Array:
        return self.sampling.grid(self._sampling_path, self.sampling.steps)

    def _run(
        self, denoise: Denoiser, key: Array, num: int, *, sampler: Sampler | None = None
    ) -> Array:
        noise_key, key = jax.random.split(key)
        path, times = self._sampling_path, self._times
        noise = jax.random.normal(noise_key, (num, *self.event_shape))
        sampler = sampler or self.sampling.sampler
        return sampler(denoise, path, times, path.sigma(times[0]) * noise, key)
