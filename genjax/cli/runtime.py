"""What every verb that computes sets up before JAX makes its first array."""

import logging
import os
import sys
from pathlib import Path


def prepare() -> None:
    """Shows genjax's warnings as lines, hides other libraries' chatter, caches compilations."""
    import jax

    # Config files may name modules of the folder that they are run from.
    sys.path.insert(0, os.getcwd())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('genjax: %(levelname)s: %(message)s'))
    logging.addLevelName(logging.WARNING, 'warning')
    logging.getLogger('genjax').handlers = [handler]
    logging.getLogger('genjax').propagate = False
    # Orbax reports with tracebacks, here, what it raises as well.
    for name in ('absl', 'asyncio'):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'genjax' / 'xla'
        jax.config.update('jax_compilation_cache_dir', str(cache))
        # The default leaves out programs that compile in a second, which small models have many of.
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


_unraisable_before = sys.unraisablehook


def _unraisable(found: 'sys.UnraisableHookArgs') -> None:
    # When a save fails, as on a full disk, TensorStore's threads still report the other writes to
    # Orbax's event loop, which is gone.
    if str(found.exc_value) != 'Event loop is closed':
        _unraisable_before(found)
