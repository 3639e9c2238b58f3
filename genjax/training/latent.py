"""Latent models: preprocessing steps that map data to the latents of a first stage, a trained
model.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.labelled import Labelled
from genjax.data.latents import Latents
from genjax.data.sources import Dataset
from genjax.errors import UserError
from genjax.files import anywhere, as_path
from genjax.training.first_stage import FirstStage, codes_of

_SHOWN = 256  # latents decoded at a time, to be shown


@dataclass(frozen=True, eq=False)
class _OfFirstStage:
    """Base class: a preprocessing step whose inverse decodes by the model of another run, which
    subclasses have as `_stage`.
    """

    workdir: str
    step: int | None = None

    PATHS: ClassVar[tuple[str, ...]] = ('workdir',)
    FREE: ClassVar[tuple[str, ...]] = ('step',)
    bound: ClassVar[bool] = False
    lossy: ClassVar[bool] = True
    takes_pixels: ClassVar[bool] = True

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Identity of the first stage."""
        return self._stage.provenance

    @property
    def num_values(self) -> int | None:
        """Number of tokens; None for continuous latents."""
        return getattr(self._stage.model, 'num_codes', None)

    def inverse(self, y: Array) -> Array:
        """Decodes latents y to data."""
        return self._stage.decode(_constants(self._stage), y)


@dataclass(frozen=True)
class EncodeLatents(_OfFirstStage):
    """Encodes data with the trained model of another run, the first stage; the inverse decodes.

    It must be the first step, since it includes the preprocessing of that run. Latents are the
    output of the model's `encode`: normalised posterior samples (`KLAutoencoder`), drawn anew in
    each call, or tokens (`VQAutoencoder`). The change of density is unknown, so the likelihood of
    the data is unavailable; results in the space of the model, such as those of `C2ST`, refer to
    latents.

    The first stage is read when the config is built, from its workdir and checkpoint, and must stay
    there. A run records its fingerprint, and refuses other weights.

    The weights become constants of the compiled programs: those of the encoder in training, of the
    decoder in sampling. They are replicated over the devices, and lengthen compilation (on a CPU,
    for the encoder of KL-f8 with 3·10⁷ weights: 2.2 s instead of 0.9 s); no other part of training
    depends on them.

    Attributes:
        workdir: run folder of the first stage.
        step: its checkpoint; None: the best by its config, or the latest.
    """

    fingerprint: str = field(init=False)

    def __post_init__(self):
        stage = _load(self.workdir, self.step)
        # Kept out of the fields so that equality uses the fingerprint only.
        object.__setattr__(self, '_stage', stage)
        object.__setattr__(self, 'fingerprint', stage.provenance['fingerprint'][:16])

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns latents of x [B, *shape], data of the first stage, and a NaN log-determinant.

        Raises:
            UserError: x has another shape.
        """
        stage = self._stage
        if x.shape[1:] != stage.shape:
            raise UserError(
                f'EncodeLatents: the run in {self.workdir} encodes examples of shape '
                f'{stage.shape}, the data have {x.shape[1:]}'
            )
        return stage.encode(_constants(stage), x, key), jnp.full(len(x), jnp.nan)


@dataclass(frozen=True, eq=False)
class LoadLatents(_OfFirstStage):
    """Draws latents from the output of `genjax encode` (`Latents`); the inverse decodes.

    Equivalent to `EncodeLatents` without running the encoder in each step. The first stage, which
    must be the one that made the latents, provides the decoder. It is read when training or
    sampling begins; dry runs do not need it.

    Attributes:
        workdir: run folder of the first stage.
        step: its checkpoint; None: the best by its config, or the latest.
    """

    def check(self, dataset: Dataset) -> None:
        """Raises UserError unless the data are latents of this first stage, or few labels of it."""
        if isinstance(dataset, Labelled):
            dataset = dataset.base
        if not isinstance(dataset, Latents):
            raise UserError(
                f'LoadLatents takes the codes of a Latents data set, not {type(dataset).__name__}; '
                'EncodeLatents takes data as they are'
            )
        made_by = dataset.record['first_stage']
        if made_by['fingerprint'] != self.provenance['fingerprint']:
            raise UserError(
                f'the codes in {dataset.path} are of another first stage than '
                f'{self.provenance["name"]}: of {made_by["name"]}, as it was then'
            )

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns latents drawn from x, in the format of `Latents`, and a NaN log-determinant."""
        if x.dtype == jnp.uint8:
            raise UserError('LoadLatents takes the codes of a Latents data set, not pictures')
        return codes_of(x, key), jnp.full(len(x), jnp.nan)

    @property
    def shown_shape(self) -> tuple[int, ...]:
        """Shape of decoded data."""
        return self._stage.shape

    def show(self, x: np.ndarray) -> np.ndarray:
        """Decodes the means of stored latents x."""
        codes = x if np.issubdtype(x.dtype, np.integer) else x[:, 0]
        parts = [codes[start : start + _SHOWN] for start in range(0, len(x), _SHOWN)]
        sized = (np.resize(part, (_SHOWN, *codes.shape[1:])) for part in parts)
        decoded = [jax.device_get(self._decode(jax.device_put(part))) for part in sized]
        return np.concatenate(decoded)[: len(x)]

    @functools.cached_property
    def _decode(self) -> Callable[[Array], Array]:
        return jax.jit(self.inverse)

    @functools.cached_property
    def _stage(self) -> FirstStage:
        with jax.ensure_compile_time_eval():  # the first access may be inside a trace
            return _load(self.workdir, self.step)


def _load(path: str, step: int | None) -> FirstStage:
    try:
        return FirstStage.load(as_path(anywhere(path)), 'best' if step is None else str(step))
    except UserError as error:
        raise UserError(f'first stage: {error} (--first_stage=DIR: it was moved)') from error


def _constants(stage: FirstStage) -> Any:
    """Weights as JAX arrays, constants of the program."""
    return jax.tree.map(jnp.asarray, stage.variables)
