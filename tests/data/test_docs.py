"""What docs/data.md and the README show of data works as it stands."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genjax import cli, config, data

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/data.md'


def test_the_builder_of_the_page(tmp_path, monkeypatch):
    (code,) = re.findall(r'```python\n(# spirals\.py\n.*?)```', PAGE.read_text(), re.DOTALL)
    (tmp_path / 'spirals.py').write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    dataset = data.TFDS('spirals.Spirals', data_dir=str(tmp_path))
    assert (dataset.event_shape, dataset.num_classes) == ((2,), 2)
    assert len(dataset.source('train')) == 4500
    out = tmp_path / 'spirals.png'
    arguments = ['data', 'show', 'spirals.Spirals', f'--out={out}', f'--data_dir={tmp_path}']
    assert cli.main(arguments) == 0
    assert out.exists()


def png(side=8, value=0):
    file = io.BytesIO()
    Image.new('L', (side, side), value % 256).save(file, 'PNG')
    return file.getvalue()


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """The files that the page names, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(80):
        for folder in ('photos/cat', 'photos/dog', 'birds/train/a', 'birds/train/b', 'birds/val/a',
                       'birds/val/b'):  # fmt: skip
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, f'{number}.png').write_bytes(png(9, 3 * number + len(folder)))
    digits, label = np.arange(80 * 64).reshape(80, 8, 8).astype(np.uint8), np.arange(80) % 10
    np.savez('x.npz', images=digits, labels=label)
    np.savez('birds.npz', x_train=digits, y_train=label, x_test=digits, y_test=label)
    kinds = np.array(['iris', 'rose'])[label % 2]
    sizes = {name: np.random.RandomState(0).rand(80) for name in ('length', 'width', 'height')}
    pq.write_table(pa.table({**sizes, 'kind': kinds}), 'flowers.parquet')
    images = [{'bytes': png(value=number), 'path': None} for number in range(80)]
    pq.write_table(pa.table({'image': images, 'label': label}), 'digits.parquet')
    Path('poems').mkdir()
    for number in range(60):
        Path(f'poems/{number}.txt').write_text(f'roses are red, violets number {number}\n')
    reviews = [f'{"good" if n % 2 else "bad"},it was number {n}' for n in range(80)]
    Path('reviews.csv').write_text('\n'.join(['mood,text', *reviews]))


def test_the_data_of_ones_own_on_the_page(own_files):
    (part,) = re.findall(r'## Your own files(.*?)\n## ', PAGE.read_text(), re.DOTALL)
    names = {}
    for block in re.findall(r'```python\n(.*?)```', part, re.DOTALL):
        exec(compile(block, 'data.md', 'exec'), names)
        # What a line's comment says it is, as far as that is a value.
        for line in block.splitlines():
            expression, _, comment = line.partition('  # ')
            if comment.startswith('('):
                assert eval(expression, names) == eval(comment), line
    assert names['batch']['x'].shape == (2, 32, 32, 3) and names['batch']['x'].dtype == np.uint8


@pytest.mark.parametrize('page', ['README.md', 'docs/data.md'])
def test_the_folder_of_images_that_is_shown(page, own_files):
    text = (ROOT / page).read_text().replace('\\\n', ' ')
    (command,) = re.findall(r'    genjax (data show @genjax\.data\.Images .*)', text)
    assert cli.main(command.split()) == 0
    assert Path('photos.png').exists()
    (command,) = re.findall(r'    genjax train (.*@genjax\.data\.Images .*)', text)
    fields = [word.removeprefix('--config.').split('=', 1) for word in command.split()[2:]]
    made = config.load(str(ROOT / 'configs/digits/vae.py'), fields)
    assert config.build(made.dataset).event_shape == (8, 8, 1)
