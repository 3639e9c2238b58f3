"""Latent models: the preprocessing step that encodes data with a model of an earlier run."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.errors import UserError
from genjax.models.base import HasEncoder, Variables
from genjax.training import run as runs
from genjax.training import sharding, workdir


@dataclass(frozen=True)
class Encode:
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

    bound: ClassVar[bool] = False
    lossy: ClassVar[bool] = True
    takes_pixels: ClassVar[bool] = True

    def __post_init__(self):
        path = Path(self.workdir)
        record = workdir.read(path)
        run = runs.load(path, 'best' if self.step is None else str(self.step))
        model = run.experiment.model
        if not isinstance(model, HasEncoder):
            raise UserError(f'{path} trained a {type(model).__name__}, which has no encode, decode')
        # On the host: the second stage may lie on its devices in another way.
        variables = jax.device_get(
            jax.device_put(run.state.averaged, sharding.replicated(run.mesh))
        )
        weights = _fingerprint(variables)
        provenance = {
            'name': f'step {run.step} of {path}',
            'fingerprint': weights,
            'step': run.step,
            'run': {name: record[name] for name in ('id', 'config', 'fingerprint', 'data')},
        }
        shape = tuple(record['example']['x'][0])
        # Not fields, which say what is equal: the fingerprint speaks for them.
        object.__setattr__(self, 'fingerprint', weights[:16])
        object.__setattr__(self, 'provenance', provenance)
        object.__setattr__(self, '_loaded', (model, run.experiment.preprocess, variables, shape))

    def __call__(self, x: Array, key: Array) -> tuple[Array, Array]:
        """Returns codes of x [B, *shape], the data of the first stage, and what is not a number.

        Raises:
            UserError: x have another shape.
        """
        model, preprocess, variables, shape = self._stage()
        if x.shape[1:] != shape:
            raise UserError(
                f'Encode: the run in {self.workdir} encodes examples of shape {shape}, '
                f'the data have {x.shape[1:]}'
            )
        preprocess_key, encode_key = jax.random.split(key)
        y, _ = preprocess(x, preprocess_key)
        return model.encode(variables, y, encode_key), jnp.full(len(x), jnp.nan)

    def inverse(self, y: Array) -> Array:
        """Returns the data that the codes y stand for."""
        model, preprocess, variables, _ = self._stage()
        return preprocess.inverse(model.decode(variables, y, jax.random.key(0)))

    def _stage(self) -> tuple[HasEncoder, Chain, Variables, tuple[int, ...]]:
        """The first stage: model, preprocessing, weights as JAX arrays, and the shape of x."""
        model, preprocess, variables, shape = self._loaded
        return model, preprocess, jax.tree.map(jnp.asarray, variables), shape


def _fingerprint(variables: Variables) -> str:
    """SHA-256 of the names and values of all arrays."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(f'{jax.tree_util.keystr(path)} {leaf.dtype}{leaf.shape}'.encode())
        digest.update(leaf.tobytes())
    return digest.hexdigest()
