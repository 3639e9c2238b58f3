import io
import itertools
import logging
import os
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from genjax import cli, data
from genjax.data import images as module
from genjax.data.fitting import Fit
from genjax.errors import UserError
from tests.data import own

PIXELS = np.zeros((30, 20, 3), np.uint8)
PIXELS[:15, :, 0] = 200  # red above
PIXELS[:, :10, 1] = 100  # green on the left


def encoded(image, kind='PNG', **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rows(dataset, split='train'):
    source = dataset.source(split)
    return source[np.arange(len(source))]


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP'])
def test_images_are_turned_upright(orientation, kind):
    upright = Image.fromarray(PIXELS)
    turns = Image.Transpose
    stored = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM,
        5: turns.TRANSPOSE, 6: turns.ROTATE_90, 7: turns.TRANSVERSE, 8: turns.ROTATE_270,
    }  # fmt: skip
    image = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if kind == 'PNG' else {'quality': 95}
    found = Fit(15, 10)(encoded(image, kind, exif=exif, **options)).astype(int)
    corners = found[[2, 2, -3, -3], [2, -3, 2, -3]]
    expected = PIXELS[[4, 4, -5, -5], [4, -5, 4, -5]].astype(int)
    assert np.abs(corners - expected).max() <= (0 if kind == 'PNG' else 12)


@pytest.mark.parametrize('crop', ['center', 'stretch'])
def test_crop_and_resize_are_those_of_pillow(crop):
    """Whatever the size, a smooth image stays what it is: antialiased, and not shifted."""
    y, x = np.mgrid[:90, :160]
    smooth = np.stack([x * 255 / 160, y * 255 / 90, 0 * x], -1).astype(np.uint8)
    for kind, options, tolerance in (('PNG', {}, 1), ('JPEG', {'quality': 95}, 4)):
        found = Fit(12, 12, crop=crop)(encoded(Image.fromarray(smooth), kind, **options))
        place = (np.arange(12) + 0.5) / 12
        across = 35 + 90 * place if crop == 'center' else 160 * place
        # Away from the edges, where the filter is cut off.
        np.testing.assert_allclose(
            found[6, 2:-2, 0], (across[2:-2] - 0.5) * 255 / 160, atol=tolerance
        )
        np.testing.assert_allclose(found[2:-2, 6, 1], (90 * place - 0.5)[2:-2] * 255 / 90,
                                   atol=tolerance)  # fmt: skip


def test_an_image_of_the_size_wanted_stays_as_it_is():
    noise = np.random.RandomState(0).randint(0, 256, (7, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(Fit(7, 9)(encoded(Image.fromarray(noise))), noise)


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_and_looks_the_same():
    random = np.random.RandomState(0)
    small = Image.fromarray(random.randint(0, 256, (10, 15, 3)).astype(np.uint8))
    large = encoded(small.resize((1500, 1000), Image.Resampling.BICUBIC), 'JPEG', quality=95)
    whole = Image.open(io.BytesIO(large)).crop((250, 0, 1250, 1000))
    expected = np.asarray(whole.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    # The decoder averages blocks of 8 x 8 pixels, the edges of which are those of no pixel of 32.
    difference = np.abs(Fit(32, 32)(large).astype(int) - expected)
    assert difference.mean() < 2 and difference.max() <= 12


def test_all_kinds_of_pixels_become_eight_bits_of_the_channels_wanted():
    grey = np.array([[0, 128], [255, 10]], np.uint8)
    alpha = np.dstack([grey, grey, grey, np.array([[255, 0], [255, 255]], np.uint8)])
    stored = {
        'L': Image.fromarray(grey),
        'P': Image.fromarray(grey).convert('P'),
        '1': Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert('1'),
        '16': Image.fromarray(grey.astype(np.uint16) * 257),
        'RGBA': Image.fromarray(alpha),
        'LA': Image.fromarray(alpha).convert('LA'),
    }
    for name, image in stored.items():
        expected = {'1': [[0, 255], [255, 0]], 'RGBA': [[0, 255], [255, 10]]}
        expected['LA'] = expected['RGBA']
        for channels in (1, 3):
            found = Fit(2, 2, channels)(encoded(image))
            assert found.shape == (2, 2, channels)
            for channel in range(channels):
                np.testing.assert_array_equal(found[..., channel], expected.get(name, grey), name)
    np.testing.assert_array_equal(Fit(2, 2, 4)(encoded(stored['RGBA']))[..., 3], alpha[..., 3])
    assert Fit(2, 2)(encoded(Image.fromarray(alpha[..., :3]).convert('CMYK'), 'JPEG')).any()
    with pytest.raises(ValueError, match='floating-point'):
        Fit(2, 2)(encoded(Image.fromarray(grey.astype(np.float32)), 'TIFF'))


def test_sub_folders_are_classes(tmp_path):
    dataset = own.images(tmp_path)
    assert dataset.class_names == ('cat', 'old dog', 'Ölfisch 魚') and dataset.num_classes == 3
    labels = np.concatenate([rows(dataset, split)['label'] for split in ('train', 'test')])
    assert set(labels) == {0, 1, 2}
    plain = data.Images(f'{dataset.path}/cat', size=5, channels=1)
    assert plain.num_classes is None and plain.event_shape == (5, 5, 1)
    assert set(rows(plain)) == {'x'} and 'no sub-folders' in plain.why_no_labels
    every = own.images(tmp_path, labels=False)
    assert every.num_classes is None
    assert every.source('train').fingerprint != dataset.source('train').fingerprint


def test_further_files_move_no_other_and_splits_have_folders_of_their_own(tmp_path):
    folder = tmp_path / '{split}'
    own.images(tmp_path)
    (tmp_path / 'photos and drawings').rename(tmp_path / 'train')
    own.images(tmp_path)
    (tmp_path / 'photos and drawings').rename(tmp_path / 'val')
    dataset = data.Images(str(folder), size=4, splits={'validation': 0.3, 'test': 'val'})
    before = {split: {x.tobytes() for x in rows(dataset, split)['x']} for split in
              ('train', 'validation', 'test')}  # fmt: skip
    assert [len(part) for part in before.values()][2] == 60
    Image.fromarray(PIXELS).save(tmp_path / 'train' / 'cat' / '0.png')
    module._open.cache_clear()
    after = {split: {x.tobytes() for x in rows(dataset, split)['x']} for split in before}
    assert all(before[split] <= after[split] for split in before)
    assert sum(map(len, after.values())) == 121
    (tmp_path / 'val' / 'cat').rename(tmp_path / 'val' / 'cats')
    module._open.cache_clear()
    with pytest.raises(UserError, match=r"'cats' of example 0 is none of the 3 classes .*'cat'\?"):
        dataset.source('train')


@pytest.fixture
def damaged(tmp_path):
    dataset = own.images(tmp_path)
    folder = tmp_path / 'photos and drawings' / 'cat'
    (folder / 'not an image.png').write_text('hello')
    (folder / 'empty.jpg').touch()
    whole = folder / '1 ü é.jpg'
    whole.write_bytes(whole.read_bytes()[:-40])
    return dataset


@pytest.mark.parametrize('in_memory', [True, False])
def test_every_image_that_cannot_be_read_is_named_or_left_out(damaged, in_memory, caplog):
    dataset = replace(damaged, in_memory=in_memory)
    with pytest.raises(UserError) as error:
        dataset.source('train')
    message = str(error.value)
    assert message.startswith('3 of 62 images of') and '\n' not in message
    for part in ('cat/not an image.png: it is no image', 'cat/empty.jpg: it is empty',
                 'cat/1 ü é.jpg: image file is truncated', "on_error='skip'"):  # fmt: skip
        assert part in message
    with caplog.at_level(logging.WARNING):
        source = replace(dataset, on_error='skip').source('train')
    assert 'left out 3 of 62 images' in caplog.text
    assert set(source.skipped) == {'cat/not an image.png', 'cat/empty.jpg', 'cat/1 ü é.jpg'}
    sizes = [len(replace(dataset, on_error='skip').source(s)) for s in ('train', 'validation')]
    assert all(sizes) and len(source[np.arange(sizes[0])]['label']) == sizes[0]


def test_an_image_that_can_be_read_again_is_back(damaged, monkeypatch):
    """As when a disk was away: nothing of the file has changed."""
    dataset = replace(damaged, on_error='skip')
    call = Fit.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Fit, '__call__', lambda self, content: call(self, content[:-9] + bytes(9)))
        sizes = [len(dataset.source(split)) for split in ('train', 'validation', 'test')]
    module._open.cache_clear()
    again = [len(dataset.source(split)) for split in ('train', 'validation', 'test')]
    assert sum(again) == 59 > sum(sizes)


def test_no_more_than_ten_are_named(tmp_path):
    for number in range(13):
        (tmp_path / f'{number}.png').write_text('no')
    with pytest.raises(UserError, match=r'13 of 13 images .* and 3 more'):
        data.Images(str(tmp_path)).source('train')
    with pytest.raises(UserError, match='13 of 13 images'):
        data.Images(str(tmp_path), on_error='skip').source('train')


def test_images_are_decoded_once_and_again_when_they_change(tmp_path, monkeypatch):
    dataset = own.images(tmp_path)
    decoded = []
    call = Fit.__call__

    def counted(self, content):
        decoded.append(1)
        return call(self, content)

    monkeypatch.setattr(Fit, '__call__', counted)
    first = dataset.source('train').fingerprint
    for _ in range(2):
        module._open.cache_clear()
        assert dataset.source('train').fingerprint == first
    assert len(decoded) == 60
    Image.fromarray(PIXELS).save(tmp_path / 'photos and drawings' / 'cat' / '0.png')
    module._open.cache_clear()
    dataset.source('train')
    assert len(decoded) == 121


def test_memory_stays_flat_while_streaming(tmp_path):
    source = own.images(tmp_path, size=64, in_memory=False).source('train')
    batches = data.train_batches(source, batch_size=8, seed=0)
    tracemalloc.start()
    try:
        used, streamed = [], 0
        for _ in range(4):
            for batch in itertools.islice(batches, 40):
                streamed += batch['x'].nbytes
            used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        batches.close()
    ahead = 2 * (os.cpu_count() + 2) * batch['x'].nbytes  # what threads may have put by
    assert streamed > 15e6 and max(used) - min(used) < ahead + 2e5


@pytest.mark.parametrize(
    ('files', 'fields', 'message'),
    [
        ([], {'path': 'nowhere'}, "there is no folder 'nowhere': give its place"),
        ([], {}, "there are no images in 'photos' .*, only nothing"),
        (['a.bmp', 'b.bmp', 'c.txt'], {}, r'only 2 \.bmp, 1 \.txt'),
        (['cat/a.png'], {}, "'photos' has one class folder only, 'cat': name it in the path"),
        (['cat/a.png', 'dog/a.png', 'b.png'], {}, r'images beside them \(b\.png, …\)'),
        (
            ['cat/a.png', 'dog/a.png', 'eel/x.txt'],
            {},
            "class folder 'eel' of 'photos' has no image",
        ),
        (['a.png'], {'size': 0}, 'size=0 must be a number of pixels'),
        (['a.png'], {'size': (3, 4, 5)}, 'must be a number of pixels'),
        (['a.png'], {'crop': 'middle'}, "crop='middle' is none of"),
        (['a.png'], {'channels': 2}, 'channels=2 is none of'),
    ],
)
def test_mistakes_are_one_line(files, fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    for name in files:
        (tmp_path / 'photos' / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / 'photos' / name, 'PNG')
    with pytest.raises(UserError, match=message):
        data.Images(**{'path': 'photos', **fields}).source('train')


def test_show(tmp_path, capsys):
    path, out = own.images(tmp_path).path, tmp_path / 'images.png'
    arguments = [f'--data.path={path}', '--data.size=16', '--data.in_memory=False', f'--out={out}']
    assert cli.main(['data', 'show', '@genjax.data.Images', *arguments]) == 0
    shown = capsys.readouterr().out
    assert 'x: uint8 [16, 16, 3], 0 to 255' in shown
    assert '3 classes: 0 cat, 1 old dog, 2 Ölfisch 魚' in shown
    assert np.asarray(Image.open(out)).std() > 1
