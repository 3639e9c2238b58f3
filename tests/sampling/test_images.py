import numpy as np
import pytest
from PIL import Image

from genjax.errors import UserError
from genjax.sampling import images


def read(path):
    return np.asarray(Image.open(path))


def tile(grid, row, column, side):
    """The middle of a tile, away from its edges."""
    step = side + 2
    return grid[2 + row * step + side // 2, 2 + column * step + side // 2]


def test_grid_puts_pictures_row_by_row():
    x = np.broadcast_to(np.arange(7, dtype=np.uint8)[:, None, None, None] * 20, (7, 48, 48, 1))
    grid = images.image_grid(x, columns=3)
    assert grid.shape == (3 * 50 + 2, 3 * 50 + 2, 1)
    for number in range(7):
        assert tile(grid, *divmod(number, 3), 48) == number * 20
    assert tile(grid, 2, 2, 48) == 128  # empty


@pytest.mark.parametrize(('side', 'factor'), [(8, 6), (28, 2), (32, 2), (64, 1)])
def test_small_pictures_are_enlarged_without_blur(side, factor):
    x = np.random.RandomState(0).randint(256, size=(1, side, side, 3)).astype(np.uint8)
    grid = images.image_grid(x)
    assert grid.shape == (side * factor + 4, side * factor + 4, 3)
    np.testing.assert_array_equal(grid[2:-2:factor, 2:-2:factor], x[0])
    np.testing.assert_array_equal(grid[1 + factor : -2 : factor, 1 + factor : -2 : factor], x[0])


def test_floats_are_rounded_and_clipped():
    x = np.array([-1, 0, 0.5, 1, 2, np.nan]).reshape(6, 1, 1, 1)
    grid = images.image_grid(x, columns=6)
    assert [int(tile(grid, 0, column, 48)[0]) for column in range(6)] == [0, 0, 128, 255, 255, 128]


def test_save_takes_pictures_in_the_range_of_the_data(tmp_path):
    x = np.linspace(0, 255, 16).reshape(4, 2, 2, 1)
    for name, values in {
        'floats': x,
        'bytes': np.round(x).astype(np.uint8),
        'flat': x[..., 0],
    }.items():
        images.save(tmp_path / f'{name}.png', values)
    expected = read(tmp_path / 'floats.png')
    assert expected.shape == (102, 102)
    assert expected.max() == 255
    for name in ('bytes', 'flat'):
        np.testing.assert_array_equal(read(tmp_path / f'{name}.png'), expected)
    images.save(tmp_path / 'colour.png', np.repeat(x, 3, axis=-1))
    assert read(tmp_path / 'colour.png').shape == (102, 102, 3)


def test_a_reference_stands_above_its_picture(tmp_path):
    reference = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((48, 48), np.uint8)
    images.save(tmp_path / 'pairs.png', reference.astype(float) + 100, reference)
    grid = read(tmp_path / 'pairs.png')
    pair = 2 * 50 + 2
    for number in range(5):
        row, column = divmod(number, 4)
        part = grid[row * pair : (row + 1) * pair]
        assert tile(part, 0, column, 48) == number
        assert tile(part, 1, column, 48) == number + 100
    with pytest.raises(ValueError, match='differ in shape'):
        images.save(tmp_path / 'pairs.png', reference, reference[:3])


def test_points_are_drawn_where_they_are(tmp_path):
    data = np.array([[-1.0, -1], [1, 1]])
    samples = np.array([[1.0, 1], [np.nan, 0], [1e9, 0]])
    for given in (None, data):
        images.save(tmp_path / 'points.png', samples[:1] if given is None else samples, given)
        picture = read(tmp_path / 'points.png').astype(int)
        assert picture.shape == (500, 500, 3)
        blue = np.argwhere(picture[..., 2] - picture[..., 0] > 60)
        assert len(blue)
    top_right = blue[(blue[:, 0] < 250) & (blue[:, 1] > 250)]
    assert len(top_right)


def test_no_points_at_all(tmp_path):
    images.save(tmp_path / 'points.png', np.full((3, 2), np.nan))
    assert read(tmp_path / 'points.png').shape == (500, 500, 3)


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'picture.png'
    images.save(path, np.zeros((1, 8, 8)))
    before = path.read_bytes()

    def fail(self, file, **options):
        file.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Image.Image, 'save', fail)
    with pytest.raises(UserError, match=r'cannot write .*picture\.png: No space left'):
        images.save(path, np.ones((1, 8, 8)))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ['picture.png']


@pytest.mark.parametrize('shape', [(3,), (3, 5), (2, 8, 8, 2), (2, 3, 4, 5, 6)])
def test_what_cannot_be_drawn_is_refused(shape, tmp_path):
    with pytest.raises(UserError, match='cannot draw'):
        images.save(tmp_path / 'x.png', np.zeros(shape))
    assert not (tmp_path / 'x.png').exists()


@pytest.mark.parametrize('name', ['x', 'x.picture'])
def test_an_unknown_format_is_refused(name, tmp_path):
    with pytest.raises(UserError, match=r'written as \.png'):
        images.save(tmp_path / name, np.zeros((1, 8, 8)))


def test_transparent_images_keep_their_alpha(tmp_path):
    x = np.random.RandomState(0).randint(256, size=(4, 48, 48, 4)).astype(np.uint8)
    images.save(tmp_path / 'grid.png', x)
    grid = read(tmp_path / 'grid.png')
    np.testing.assert_array_equal(grid[2:50, 2:50], x[0])
    np.testing.assert_array_equal(grid[0, 0], [128, 128, 128, 255])
    images.write(tmp_path / 'one.png', x[1])
    np.testing.assert_array_equal(read(tmp_path / 'one.png'), x[1])
