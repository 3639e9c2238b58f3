"""Latent models: preprocessing steps between data and the codes of a first stage, a model of an
earlier run.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from genjax.data.latents import Latents
from genjax.data.sources import Dataset
from genjax.errors import UserError
from genjax.files import local
from genjax.training.first_stage import FirstStage, codes_of

_SHOWN = 256  # codes decoded at a time, to be shown


@dataclass(frozen=True)
class EncodeLatents:
    """Encodes data with the trained model of another run, the first stage; the inverse decodes.

    It applies the preprocessing of that run too, so it comes first; codes are what its model's
    `encode` gives: draws, normalised (`KLAutoencoder`), or tokens (`VQAutoencoder`). It draws anew
    each time. How densities change is unknown, so likelihoods of the data cannot be had; figures in
    the space of the model, such as those of `C2ST`, are about codes.

    The first stage is read when the config is built, from its workdir and checkpoint, and must stay
    there. A run records which it was, and refuses another one, told apart by the weights.

    The weights become constants of the compiled programs, each of which holds those that it needs:
    of training the encoder's, of sampling the decoder's. So they are replicated over the devices,
    and programs take longer to compile (on a CPU, the encoder of KL-f8 with its 3·10⁷ weights:
    2.2 s in place of 0.9 s); in return no other part of training has to know of them.

    Attributes:
        workdir: the folder of the first stage's run.
        step: which of its checkpoints; None: the best by its config, or the latest.
    """

    workdir: str
    step: int | None = None

    fingerprint: str = field(init=False)

    PATHS: ClassVar[tuple[str, ...]] = ('workdir',)
    FREE: ClassVar[tuple[str, ...]] = ('step',)
    bound: ClassVar[bool] = False
    lossy: ClassVar[bool] = True
    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        stage = _load(self.workdir, self.step)
        # Not a field, which says what is equal: the fingerprint speaks for it.
        object.__setattr__(self, '_stage', stage)
        object.__setattr__(self, 'fingerprint', stage.provenance['fingerprint'][:16])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Which first stage it is."""
        return self._stage.provenance

    @property
    def num_values(self) -> int | None:
        """The number of tokens; None: codes are not tokens."""
        return getattr(self._stage.model, 'num_codes', None)

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns codes of x [B, *shape], the data of the first stage, and what is not a number.

        Raises:
            UserError: x have another shape.
        """
        stage = self._stage
        if x.shape[1:] != stage.shape:
            raise UserError(
                f'EncodeLatents: the run in {self.workdir} encodes examples of shape '
                f'{stage.shape}, the data have {x.shape[1:]}'
            )
        return stage.encode(_constants(stage), x, key), jnp.full(len(x), jnp.nan)

    def inverse(self, y: Array) -> Array:
        """Returns the data that the codes y stand for."""
        return self._stage.decode(_constants(self._stage), y)


@dataclass(frozen=True, eq=False)
class LoadLatents:
    """Draws codes from what `genjax encode` stored (`Latents`); the inverse decodes.

    Training sees what it would through `EncodeLatents`, without the encoder's work in each step.
    The first stage is needed for its decoder, and for what `EncodeLatents` says of it; it is read
    when training or sampling begins, so that a dry run does without, and must be the one that made
    the codes.

    Attributes:
        workdir: the folder of the first stage's run.
        step: which of its checkpoints; None: the best by its config, or the latest.
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
        """Which first stage it is."""
        return self._stage.provenance

    @property
    def num_values(self) -> int | None:
        """The number of tokens; None: codes are not tokens."""
        return getattr(self._stage.model, 'num_codes', None)

    def check(self, dataset: Dataset) -> None:
        """Raises a UserError unless the data are codes of this first stage."""
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
        """Returns codes drawn from x, as `Latents` has them, and what is not a number."""
        if x.dtype == jnp.uint8:
            raise UserError('LoadLatents takes the codes of a Latents data set, not pictures')
        return codes_of(x, key), jnp.full(len(x), jnp.nan)

    def inverse(self, y: Array) -> Array:
        """Returns the data that the codes y stand for."""
        return self._stage.decode(_constants(self._stage), y)

    @property
    def shown_shape(self) -> tuple[int, ...]:
        """The shape of the data that a code stands for."""
        return self._stage.shape

    def show(self, x: np.ndarray) -> np.ndarray:
        """Returns the data that the stored codes x stand for, by their means."""
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
        with jax.ensure_compile_time_eval():  # it may be asked for first while a program is traced
            return _load(self.workdir, self.step)


def _load(path: str, step: int | None) -> FirstStage:
    try:
        return FirstStage.load(Path(local(path)), 'best' if step is None else str(step))
    except UserError as error:
        raise UserError(f'first stage: {error} (--first_stage=DIR: it was moved)') from error


def _constants(stage: FirstStage) -> Any:
    """The weights as JAX arrays, which become constants of the program."""
    return jax.tree.map(jnp.asarray, stage.variables)
