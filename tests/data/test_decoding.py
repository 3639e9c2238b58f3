"""Data that are not what they are declared to be are refused, with the example."""

import io

import numpy as np
import pytest
from PIL import Image

from genjax import data
from genjax.data.decoding import decode
from genjax.data.sources import InMemorySource
from genjax.errors import UserError

SHAPE = (20, 12, 1)


def encoded(pixels, mode=None, **options):
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, 'PNG', **options)
    return file.getvalue()


GREY = np.arange(240, dtype=np.uint8).reshape(20, 12)
CLEAR = np.stack([GREY, GREY, GREY, np.full_like(GREY, 9)], -1)


@pytest.mark.parametrize(
    ('stored', 'reason'),
    [
        (encoded(GREY.T.copy()), '12 pixels high and 20 wide, not 20 and 12'),
        (encoded(GREY[:10]), '10 pixels high'),
        (encoded(GREY.astype(np.uint16) * 200), 'more than 8 bits'),
        (encoded(CLEAR), 'transparent'),
        (encoded(GREY)[:-30], 'truncated'),
        (b'no image', 'cannot identify'),
        (b'', 'cannot identify'),
    ],
    ids=['turned', 'size', '16 bits', 'transparent', 'torn', 'text', 'empty'],
)
def test_an_image_of_another_kind_is_refused(stored, reason):
    with pytest.raises(Exception, match=reason):
        decode(stored, SHAPE)


def test_an_image_keeps_its_pixels():
    np.testing.assert_array_equal(decode(encoded(GREY), SHAPE)[..., 0], GREY)
    opaque = np.where(np.arange(4) == 3, 255, CLEAR).astype(np.uint8)
    np.testing.assert_array_equal(decode(encoded(opaque), (20, 12, 3)), opaque[..., :3])
    np.testing.assert_array_equal(decode(encoded(CLEAR), (20, 12, 4)), CLEAR)


@pytest.mark.parametrize('in_memory', [True, False])
@pytest.mark.parametrize(
    ('builder', 'reason'),
    [
        ('TornImage', 'example 2 of the split .train.* in .*: image file is truncated'),
        ('MissingNumber', r'x of example 2 of .* is not finite: nan at \(1,\)'),
        ('LargeNumber', 'example 2 of .*: 4294967301 is not an int32'),
        ('UnknownLabel', 'example 2 of .*: label=-1 is not one of the 3 classes 0..2'),
    ],
)
def test_the_example_is_named_in_memory_and_streamed(tmp_path, builder, reason, in_memory):
    def read():
        named = data.TFDS(f'toys.{builder}', data_dir=str(tmp_path), in_memory=in_memory)
        return next(data.train_batches(named.source('train'), batch_size=5, seed=0))

    with pytest.raises(UserError, match=reason):
        read()


def test_arrays_in_memory_must_be_finite():
    x = np.zeros((3, 2), np.float32)
    x[1, 1] = np.inf
    with pytest.raises(UserError, match=r'example 1 of the data is not finite: inf at \(1,\)'):
        InMemorySource({'x': x})
