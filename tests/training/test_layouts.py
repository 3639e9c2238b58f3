"""Where the parameters of large models lie, against the files in `layouts/`, one for each family.

When a layout is meant to change, renew the files and read the difference before it is committed:

    RENEW_LAYOUTS=1 ./launch/local.sh test tests/training/test_layouts.py
"""

import os
from pathlib import Path

import jax
import pytest

from genjax import config
from genjax.training import MeshShape
from genjax.training.experiment import experiment_of
from genjax.training.layout import layouts
from genjax.training.programs import abstract_state

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name('layouts')
CASES = {
    'vae': ('mnist/vae.py', MeshShape(data=2, fsdp=4), ((28, 28, 1), 'uint8')),
    'gan': ('ffhq256/stylegan2.py', MeshShape(data=2, fsdp=4), ((256, 256, 3), 'uint8')),
    'flow': ('mnist/glow.py', MeshShape(data=2, fsdp=4), ((28, 28, 1), 'uint8')),
    'autoregressive': (
        'shakespeare/gpt.py', MeshShape(data=2, fsdp=2, tensor=2), ((256,), 'int32')
    ),
    'diffusion': (
        'imagenet256/dit_xl2.py', MeshShape(data=1, fsdp=4, tensor=2), ((2, 32, 32, 4), 'float32')
    ),
}  # fmt: skip


def layout_of(family):
    """A line for every parameter of the family's config."""
    path, mesh, x = CASES[family]
    experiment = experiment_of(config.load(str(ROOT / 'configs' / path), []))
    devices = mesh.make(jax.devices()[: mesh.data * mesh.fsdp * mesh.tensor])
    example = {'x': x, 'label': ((), 'int32')}
    state = abstract_state(experiment, example, devices, mesh.rules)
    head = f'configs/{path}, data={mesh.data} x fsdp={mesh.fsdp} x tensor={mesh.tensor}'
    return '\n'.join([head, *map(str, layouts(state.variables['params']))]) + '\n'


@pytest.mark.parametrize('family', CASES)
def test_layout_is_the_one_on_file(family):
    file, layout = FOLDER / f'{family}.txt', layout_of(family)
    if os.environ.get('RENEW_LAYOUTS'):
        file.write_text(layout)
    assert layout == file.read_text(), 'the top of this file says how to renew it'
