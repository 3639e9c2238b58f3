"""Stacked pictures and unpaired domains against the pictures that they are made of."""

import numpy as np
import pytest

from genjax import data
from genjax.errors import UserError

SPLITS = ('train', 'validation', 'test')


def everything(source):
    return source[np.arange(len(source))]


def examples(split):
    return everything(data.Digits().source(split))


@pytest.mark.parametrize('split', SPLITS)
def test_the_channels_of_a_stack_are_pictures_of_its_split_with_the_digits_of_its_label(split):
    source = data.Stacked(train_size=400, held_out_size=300).source(split)
    stacked = everything(source)
    assert stacked['x'].shape == (len(source), 8, 8, 3) and stacked['x'].dtype == np.uint8
    assert len(source) == (400 if split == 'train' else 300)
    base = examples(split)
    label_of = {x.tobytes(): label for x, label in zip(base['x'], base['label'], strict=True)}
    for x, label in zip(stacked['x'], stacked['label'], strict=True):
        shown = [label_of[x[..., channel].tobytes()] for channel in range(3)]
        assert shown == [label // 100, label // 10 % 10, label % 10]


def test_stacks_are_as_many_as_promised_and_show_every_mode_evenly():
    dataset = data.Stacked()
    assert dataset.event_shape == (8, 8, 3) and dataset.num_classes == 1000
    assert [len(dataset.source(split)) for split in SPLITS] == [50_000, 5_000, 5_000]
    counts = np.bincount(everything(dataset.source('train'))['label'], minlength=1000)
    assert np.all(counts > 20)
    # Digits are nearly even; χ² of 999 degrees has a standard deviation of 45.
    classes = np.bincount(examples('train')['label']) / len(examples('train')['label'])
    expected = 50_000 * np.einsum('a,b,c->abc', classes, classes, classes).ravel()
    assert np.sum((counts - expected) ** 2 / expected) < 999 + 4 * 45


def test_a_stack_depends_on_its_number_alone_and_keeps_its_fingerprint():
    dataset = data.Stacked(train_size=100)
    whole, some = everything(dataset.source('train')), np.array([7, 3, 7])
    for name, rows in dataset.source('train')[some].items():
        np.testing.assert_array_equal(rows, whole[name][some])
    prints = {data.Stacked(train_size=size).source('train').fingerprint for size in (100, 100, 99)}
    assert len(prints) == 2


def test_stacks_of_what_is_not_grey_or_has_no_labels_are_refused():
    with pytest.raises(UserError, match=r'Stacked takes.*Gaussians has \(2,\)'):
        data.Stacked(data.Gaussians()).source('train')
    with pytest.raises(UserError, match='did you mean'):
        data.Stacked().source('tran')


def test_the_parts_of_a_training_split_share_nothing_and_leave_out_nothing():
    parts = [data.Part(data.Digits(), start, 3) for start in range(3)]
    rows = [everything(part.source('train'))['x'] for part in parts]
    together = np.concatenate(rows)
    assert sorted(x.tobytes() for x in together) == sorted(
        x.tobytes() for x in examples('train')['x']
    )
    for split in ('validation', 'test'):
        np.testing.assert_array_equal(everything(parts[1].source(split))['x'], examples(split)['x'])
    with pytest.raises(UserError, match='start=3'):
        data.Part(data.Digits(), 3, 3)


def test_the_domains():
    digits = examples('test')['x']

    def seen(domain):
        dataset = data.Transformed(data.Digits(), domain)
        x = everything(dataset.source('test'))
        np.testing.assert_array_equal(x['label'], examples('test')['label'])
        assert x['x'].shape[1:] == dataset.event_shape and x['x'].dtype == np.uint8
        return x['x']

    np.testing.assert_array_equal(seen('inverted').astype(int), 255 - digits.astype(int))
    for row, column in ((0, 0), (2, 5)):  # a quarter turn to the left
        np.testing.assert_array_equal(seen('rotated')[:, 7 - column, row], digits[:, row, column])
    coloured = seen('coloured')
    assert set(map(tuple, coloured[digits[..., 0] == 0])) == {(0, 40, 160)}
    assert set(map(tuple, coloured[digits[..., 0] == 255])) == {(255, 220, 0)}
    with pytest.raises(UserError, match="'rotated'"):
        data.Transformed(data.Digits(), 'rotate')


def test_unpaired_examples_have_a_picture_of_each_domain_that_do_not_belong_together():
    a = data.Part(data.Digits(), 0)
    b = data.Transformed(data.Part(data.Digits(), 1), 'coloured')
    dataset = data.Unpaired(a, b)
    assert dataset.event_shape == (2, 8, 8, 3) and dataset.num_classes == 10
    both = everything(dataset.source('train'))
    first, second = everything(a.source('train')), everything(b.source('train'))
    assert len(both['x']) == max(len(first['x']), len(second['x']))
    for channel in range(3):
        np.testing.assert_array_equal(both['x'][:, 0, ..., channel], first['x'][..., 0])
    np.testing.assert_array_equal(both['label'], first['label'])
    # Every picture of b is there; where one stands says nothing of its class.
    assert {x.tobytes() for x in both['x'][:, 1]} == {x.tobytes() for x in second['x']}
    label_of = {x.tobytes(): label for x, label in zip(second['x'], second['label'], strict=True)}
    labels = [label_of[np.ascontiguousarray(x).tobytes()] for x in both['x'][:, 1]]
    assert np.mean(labels == both['label']) < 0.16


def test_domains_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r'\(8, 8, 1\) and of \(32, 32, 1\)'):
        data.Unpaired(data.Digits(), data.Jars()).source('train')
