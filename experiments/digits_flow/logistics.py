"""Independent pixels, each a discretised logistic: the baseline of a flow on the 8x8 digits.

    python -m experiments.digits_flow.logistics

Fits location and scale of every pixel to the training split by maximum likelihood and prints the
negative log-probability in nats an image of each split.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax.data import Digits
from genjax.models import DiscretisedLogistic

_UPDATES = 3000


def fit(x: jax.Array, updates: int = _UPDATES) -> jax.Array:
    """Maximum-likelihood parameters [*event] of integers x [N, *event], by Adam."""
    likelihood = DiscretisedLogistic()
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, updates))
    params = likelihood.start(x)

    def update(carry, _):
        params, state = carry
        slope = jax.grad(lambda p: -jnp.mean(likelihood.log_prob(p, x)))(params)
        change, state = optimizer.update(slope, state)
        return (optax.apply_updates(params, change), state), None

    carry, _ = jax.lax.scan(update, (params, optimizer.init(params)), length=updates)
    return carry[0]


def main() -> None:
    """Fits and prints."""
    splits = ('train', 'validation', 'test')
    sources = {name: Digits().source(name) for name in splits}
    x = {name: jnp.asarray(s[np.arange(len(s))]['x']) for name, s in sources.items()}
    params = jax.jit(fit)(x['train'])
    for name in splits:
        nll = -DiscretisedLogistic().log_prob(params, x[name])
        stderr = jnp.std(nll) / np.sqrt(len(nll))
        print(f'{name:10} {jnp.mean(nll):8.2f} nats ± {stderr:.2f}, worst {jnp.max(nll):.0f}')


if __name__ == '__main__':
    main()
