"""Encodes a data set with a first stage, once, for `genjax.data.Latents`."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from genjax.data import latents
from genjax.data.pipeline import eval_batches
from genjax.data.sources import Source
from genjax.keys import key_of
from genjax.parallel import sharding
from genjax.parallel.sharding import MeshShape
from genjax.training.first_stage import FirstStage
from genjax.training.programs import example_of
from genjax.training.workdir import provenance


def encode(
    stage: FirstStage, out: Path, splits: tuple[str, ...], batch_size: int
) -> dict[str, int]:
    """Writes the codes of the data that a first stage was trained on, each batch spread over all
    devices.

    Args:
        stage: what encodes.
        out: the folder to write, whole or not at all.
        splits: of 'train', 'validation', 'test'.
        batch_size: examples at a time, over all devices; raised to a multiple of their number.

    Returns:
        How many examples each split has.

    Raises:
        UserError: there is no such split, or the folder is there or cannot be written.
    """
    sources = {split: stage.dataset.source(split) for split in splits}
    example = example_of(sources[splits[0]])
    mesh = MeshShape().make()
    rows, everywhere = sharding.rows(mesh), sharding.replicated(mesh)
    batch_size = -(-batch_size // mesh.size) * mesh.size
    variables = jax.device_put(stage.variables, everywhere)
    program = jax.jit(stage.stored, in_shardings=(everywhere, rows, everywhere), out_shardings=rows)

    def batches(source: Source) -> Iterator[dict[str, np.ndarray]]:
        before = None
        for number, batch in enumerate(eval_batches(source, batch_size=batch_size)):
            x = sharding.place({'x': batch['x']}, rows)['x']
            codes = program(variables, x, jax.random.fold_in(key_of(0, 'codes'), number))
            if before is not None:  # written while this batch is encoded
                yield _kept(*before)
            before = codes, batch
        yield _kept(*before)

    x = jax.ShapeDtypeStruct((batch_size, *example['x'][0]), example['x'][1])
    codes = jax.eval_shape(stage.stored, stage.variables, x, key_of(0, 'codes'))
    latents.write(
        out,
        {split: batches(source) for split, source in sources.items()},
        example=(codes.shape[1:], str(codes.dtype)),
        num_classes=stage.dataset.num_classes if 'label' in example else None,
        record={
            'first_stage': stage.provenance,
            'data': {split: source.fingerprint for split, source in sources.items()},
            'provenance': provenance(),
        },
    )
    return {split: len(source) for split, source in sources.items()}


def _kept(codes: jax.Array, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What of a batch is no padding, on the host."""
    arrays = {**batch, 'x': jax.device_get(codes)}
    mask = arrays.pop('mask')
    return {name: array[mask] for name, array in arrays.items()}
