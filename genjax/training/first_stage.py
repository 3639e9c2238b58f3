"""First stage of a latent model: the trained model of an earlier run, which encodes data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from genjax.data.preprocessing import Chain
from genjax.data.sources import Dataset
from genjax.errors import UserError
from genjax.models.base import HasEncoder, Variables, has_normal_codes
from genjax.parallel.host import fetch
from genjax.training import loading as runs
from genjax.training import workdir
from genjax.training.weights import fingerprint


@dataclass(frozen=True, eq=False)
class FirstStage:
    """A trained model with an encoder, and its preprocessing.

    Attributes:
        model: the encoder and decoder.
        preprocess: its preprocessing.
        variables: its variables, on the host, independent of devices.
        dataset: its data set.
        shape: shape of an example.
        provenance: identity of the run; 'fingerprint' hashes the weights.
    """

    model: HasEncoder
    preprocess: Chain
    variables: Variables
    dataset: Dataset
    shape: tuple[int, ...]
    provenance: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path, step: str = 'best') -> 'FirstStage':
        """Loads a run; `step` as in `genjax.load`.

        Raises:
            UserError: the run or step does not exist, or its model has no encoder.
        """
        record = workdir.read(path)
        run = runs.load(path, step)
        model = run.experiment.model
        if not isinstance(model, HasEncoder):
            raise UserError(f'{path} trained a {type(model).__name__}, which has no encode, decode')
        variables = fetch(run.state.averaged)
        provenance = {
            'name': f'step {run.step} of {path}',
            'fingerprint': fingerprint(variables),
            'step': run.step,
            'run': {name: record[name] for name in ('id', 'config', 'fingerprint', 'data')},
        }
        shape = tuple(record['example']['x'][0])
        experiment = run.experiment
        return cls(model, experiment.preprocess, variables, experiment.dataset, shape, provenance)

    def encode(self, variables: Variables, x: Array, key: Array) -> Array:
        """Draws latents of x [B, *shape], data of the first stage."""
        preprocess_key, encode_key = jax.random.split(key)
        y, _ = self.preprocess(x, preprocess_key)
        return self.model.encode(variables, y, encode_key)

    def stored(self, variables: Variables, x: Array, key: Array) -> Array:
        """Encodes x [B, *shape] as stored in `Latents`: tokens int32 [B, ...], or means and
        standard deviations float32 [B, 2, ...] of latents, the latter 0 for a deterministic
        encoder.
        """
        if not has_normal_codes(self.model):
            z = self.encode(variables, x, key)
            if jnp.issubdtype(z.dtype, jnp.integer):
                return z
            moments = z, jnp.zeros_like(z)
        else:
            y, _ = self.preprocess(x, jax.random.split(key)[0])
            moments = self.model.code_moments(variables, y)
        return jnp.stack(moments, axis=1).astype(jnp.float32)

    def decode(self, variables: Variables, z: Array) -> Array:
        """Decodes latents z to the range of the data."""
        return self.preprocess.inverse(self.model.decode(variables, z, jax.random.key(0)))


def codes_of(stored: Array, key: Array) -> Array:
    """Draws latents from the output of `FirstStage.stored`, distributed as those of `encode`; of
    a `KLAutoencoder` equal to them with this key, up to rounding.
    """
    if jnp.issubdtype(stored.dtype, jnp.integer):
        return stored
    mean, std = stored[:, 0], stored[:, 1]
    return mean + std * jax.random.normal(jax.random.split(key)[1], mean.shape)
