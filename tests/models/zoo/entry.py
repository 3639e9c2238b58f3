"""An entry of the zoo: a model with its data."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

PICTURE = (8, 8, 1)


@dataclass(frozen=True)
class Entry:
    """A model with what the tests need to know of it.

    Attributes:
        name: of the test.
        model: the model.
        values: the kind of data: 'bits', 'levels' (0..255), 'tokens' (0..4), or 'reals' in [-1, 1].
        coupled: examples of a batch affect each other in training (batch normalisation, say).
        counted: fitted by counting, without parameters or gradients; nothing is known before.
        shape: of an example; None: the model's `event_shape`.
    """

    name: str
    model: object
    values: str
    coupled: bool = False
    counted: bool = False
    shape: tuple[int, ...] | None = None

    def batch(self, size: int = 8, seed: int = 0) -> dict[str, jnp.ndarray]:
        """A batch of random data in the model's space, with labels, contexts where the model takes
        them, and a mask of ones.
        """
        generator = np.random.default_rng(seed)
        shape = (size, *(self.shape or self.model.event_shape))
        x = {
            'bits': lambda: generator.integers(0, 2, shape),
            'levels': lambda: generator.integers(0, 256, shape),
            'reals': lambda: generator.uniform(-1, 1, shape),
            'tokens': lambda: generator.integers(0, 5, shape),
        }[self.values]()
        batch = {
            'x': jnp.asarray(x, jnp.int32 if self.values == 'tokens' else jnp.float32),
            'label': jnp.asarray(generator.integers(0, 3, size), jnp.int32),
            'mask': jnp.ones(size, bool),
        }
        if (context := getattr(self.model, 'context_shape', None)) is not None:
            batch['context'] = jnp.asarray(generator.normal(size=(size, *context)), jnp.float32)
        return batch
