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
    """Encodes the data set of a first stage, with batches sharded over all devices, and writes the
    latents.

    Args:
        stage: the encoder.
        out: the folder to write, atomically.
        splits: of 'train', 'validation', 'test'.
        batch_size: examples per batch, over all devices; rounded up to a multiple of their number.

    Returns:
        The number of examples in each split.

    Raises:
        UserError: a split does not exist, or the folder exists or cannot be written.
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
            if before is not None:  # written to disk while this batch is encoded
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
        context_shape=example['context'][0] if 'context' in example else None,
        record={
            'first_stage': stage.provenance,
            'data': {split: source.fingerprint for split, source in sources.items()},
            'provenance': provenance(),
        },
    )
    return {split: len(source) for split, source in sources.items()}


def _kept(codes: jax.Array, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drops padded rows and moves the batch to the host."""
    arrays = {**batch, 'x': jax.device_get(codes)}
    mask = arrays.pop('mask')
    return {name: array[mask] for name, array in arrays.items()}
