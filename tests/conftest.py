"""Settings of every test, made before anything imports JAX."""

import gc
import os
import re
import shutil
import signal
import tempfile
from importlib.metadata import version

os.environ['JAX_PLATFORMS'] = 'cpu'
# Compiles in half the time, here and in processes that tests start: what is promised is promised of
# any code. `JAX_DISABLE_MOST_OPTIMIZATIONS=0` tests the code that users run.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
# What tests have trained with is not what the user trusts.
os.environ['XDG_CONFIG_HOME'] = _CONFIG_HOME = tempfile.mkdtemp(prefix='genjax-tests-')
os.environ['XDG_CACHE_HOME'] = os.path.join(_CONFIG_HOME, 'cache')
os.environ['XLA_FLAGS'] = ' '.join(
    [
        os.environ.get('XLA_FLAGS', ''),
        '--xla_force_host_platform_device_count=8',
        # Compiles in half the time again; later ones do not know it.
        '--xla_cpu_use_fusion_emitters=false' * version('jaxlib').startswith('0.10.'),
    ]
).strip()

import jax
import pytest
from xdist.scheduler import LoadScopeScheduling


def pytest_addoption(parser):
    """Adds `--full`, and `--quick` for the newest Python."""
    parser.addoption('--full', action='store_true', help='run the tests marked "full" as well')
    parser.addoption(
        '--quick',
        action='store_true',
        help='run each test with its first parameters only, and none that is marked "slow"',
    )


def group_of(nodeid):
    """The tests that share a process: of a model of the zoo, else of a file."""
    found = re.search(r'\[(\S+)@zoo', nodeid)
    return found[1] if found else nodeid.split('::')[0]


def of_tier(config, items):
    """The tests that are asked for."""
    if not config.getoption('--full'):
        items = [item for item in items if not item.get_closest_marker('full')]
    if config.getoption('--quick'):
        items = [item for item in items if not item.get_closest_marker('slow')]
        # Of those that differ in their parameters the first stays; models are not parameters.
        names = [i.nodeid if '@zoo' in i.nodeid else i.nodeid.split('[')[0] for i in items]
        items = dict(reversed(list(zip(names, items, strict=True)))).values()
    return items


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Deselects the tests of other tiers; groups the others, long ones first."""
    chosen = set(of_tier(config, items))
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]
    order = {}
    for item in sorted(items, key=lambda item: item.get_closest_marker('slow') is None):
        order.setdefault(group_of(item.nodeid), len(order))
    items.sort(key=lambda item: order[group_of(item.nodeid)])


def pytest_collection_finish(session):
    """Has the garbage collector leave alone what imports have made: it stays to the end."""
    gc.freeze()


def pytest_xdist_make_scheduler(config, log):
    """Gives a worker the next group when it has done one."""

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    config.option.loadscopereorder = False  # long ones first
    return ByGroup(config, log)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Gives up a group's compiled programs: a process may only map so many pieces of memory."""
    if nextitem is None or group_of(nextitem.nodeid) != group_of(item.nodeid):
        jax.clear_caches()


def pytest_unconfigure(config):
    """Removes what tests have written into the user's configuration."""
    shutil.rmtree(_CONFIG_HOME, ignore_errors=True)


def pytest_configure(config):
    """Keeps compiled programs between tests and sessions; `pytest --cache-clear` forgets them."""
    # Under nohup or in the background of a script these are ignored, also by what tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if hasattr(config, 'cache'):
        # In the environment too, for processes that tests start.
        path = os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(config.cache.mkdir('xla')))
        seconds = os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
        jax.config.update('jax_compilation_cache_dir', path)
        jax.config.update('jax_persistent_cache_min_compile_time_secs', float(seconds))


@pytest.fixture(scope='session', autouse=True)
def _data_dir():
    """Prepares data sets once a session, away from the user's own."""
    with tempfile.TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        if 'TFDS_DATA_DIR' not in os.environ:
            patch.setenv('TFDS_DATA_DIR', path)
        yield
