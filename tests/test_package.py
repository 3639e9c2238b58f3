"""Which part of genjax may import what, read from the source."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genjax
from genjax.sweeps.templates import template

PACKAGE = Path(genjax.__file__).parent
SOURCES = sorted(PACKAGE.rglob('*.py'))

# Parts, from the bottom up: what each may import of genjax. A part is a module or a folder.
MAY_IMPORT = {
    'errors': set(),
    'free': set(),
    'keys': set(),
    'protocols': {'errors'},
    'records': set(),
    'schedules': set(),
    'hardware': set(),
    'bridge': set(),
    'files': {'errors'},
    'tensors': {'errors'},
}
for _part, *_below in (
    ('config', 'bridge', 'errors', 'files', 'schedules', 'free'),
    ('data', 'config'),
    ('networks', 'bridge', 'errors', 'files', 'schedules', 'free'),
    ('models', 'networks'),
    ('parallel', 'networks'),
    ('sampling', 'data', 'keys', 'models', 'parallel'),
    ('evaluation', 'sampling', 'protocols', 'hardware', 'tensors'),
    ('inference', 'evaluation'),
    ('training', 'evaluation', 'config', 'hardware', 'records'),
    ('planning', 'training'),
    ('sweeps', 'training'),
    ('reports', 'sweeps'),
    ('cli', 'reports', 'planning', 'inference'),
    ('__main__', 'cli'),
):
    MAY_IMPORT[_part] = {*_below}.union(*(MAY_IMPORT[below] for below in _below))

# The only libraries beside the standard one that a part may use, where that is promised.
MAY_USE = {
    'errors': set(),
    'networks': {'jax', 'flax', 'numpy'},
    'models': {'jax', 'flax', 'numpy', 'optax', 'diffrax'},
    'reports': {'numpy', 'matplotlib', 'PIL', 'pyarrow'},
}

# The only place that imports a library.
ONLY_IN = {
    'diffrax': 'models/ode.py',
    'orbax': ('training/checkpoints.py', 'training/orbax_s3.py'),
    'grain': 'data/',
    'tensorflow_datasets': 'data/',
    'fsspec': 'files/',
    'etils': 'files/',
    'gcsfs': 'files/gcs.py',
    'google': 'files/gcs.py',
    's3fs': 'files/s3.py',
    'botocore': 'files/s3.py',
}


@functools.cache
def imports_of(path):
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno} imports relatively'
            found.add(node.module)
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def genjax_parts(path):
    """The parts of genjax that a file imports, its own excepted."""
    names = {name.split('.')[1] for name in imports_of(path) if name.startswith('genjax.')}
    return {
        name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f'{name}.py').exists()
    } - {part_of(path)}


def by_path(path):
    return str(path.relative_to(PACKAGE))


def test_imports_point_one_way():
    for path in SOURCES:
        part = part_of(path)
        assert part == '__init__' or part in MAY_IMPORT, f'{part} is a new part: give it a place'
        refused = genjax_parts(path) - MAY_IMPORT.get(part, set())
        assert not refused, f'{by_path(path)} may not import {refused} of genjax'


def test_libraries_stay_where_they_belong():
    for path in SOURCES:
        libraries = {name.split('.')[0] for name in imports_of(path)} - {'genjax'}
        libraries -= set(sys.stdlib_module_names)
        refused = libraries - MAY_USE.get(part_of(path), libraries)
        refused |= {
            library
            for library, place in ONLY_IN.items()
            if library in libraries and not by_path(path).startswith(place)
        }
        assert not refused, f'{by_path(path)} may not import {refused}'


def test_import_genjax_is_light():
    code = 'import sys; old = set(sys.modules); import genjax; print(set(sys.modules) - old)'
    output = subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "{'genjax'}"


def project():
    return tomllib.loads((PACKAGE.parent / 'pyproject.toml').read_text('utf-8'))['project']


def test_the_version_is_in_one_place():
    assert 'version' in project()['dynamic']
    assert re.fullmatch(r'\d+\.\d+\.\d+', genjax.__version__)


@pytest.mark.parametrize('python', ['3.11', '3.12', '3.13', '3.14'])
def test_the_constraints_pin_each_dependency_once(python):
    lines = (PACKAGE.parent / 'constraints.txt').read_text('utf-8').splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith('#')]
    pins = [
        pin for pin in pins if not pin.marker or pin.marker.evaluate({'python_version': python})
    ]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    assert all(str(pin.specifier).startswith('==') for pin in pins)

    versions = dict(zip(names, pins, strict=True))
    for line in project()['dependencies'] + project()['optional-dependencies']['test']:
        needed = Requirement(line)
        (pinned,) = versions[canonicalize_name(needed.name)].specifier
        assert pinned.version in needed.specifier


def test_templates_are_found_in_a_checkout_and_where_genjax_is_installed(tmp_path, monkeypatch):
    pyproject = tomllib.loads((PACKAGE.parent / 'pyproject.toml').read_text('utf-8'))
    wheel = pyproject['tool']['hatch']['build']['targets']['wheel']
    assert wheel['force-include'] == {'launch': 'genjax/launch'}
    for name in ('slurm.sh', 'jobset.yaml'):
        assert template(name) == PACKAGE.parent / 'launch' / name
        assert template(name).is_file()
    installed = tmp_path / 'genjax' / 'launch' / 'slurm.sh'
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(genjax, '__file__', str(tmp_path / 'genjax' / '__init__.py'))
    assert template('slurm.sh') == installed
