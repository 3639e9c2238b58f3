"""Corruptions of images: their size, and that they depend on the seed and the index alone."""

import numpy as np
import pytest

from genjax.data import Corrupted, Digits, Jars, Stacked
from genjax.data.corrupted import KINDS
from genjax.errors import UserError

ROWS = np.arange(300)
PLAIN = Digits().source('test')[ROWS]


def _test(kind, strength, **options):
    return Corrupted(Digits(), kind, strength, **options).source('test')[ROWS]


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_depends_on_the_seed_the_split_and_its_index_alone(kind):
    dataset = Corrupted(Digits(), kind, 0.5)
    source = dataset.source('test')
    some = np.array([7, 250, 3])
    examples = source[some]
    np.testing.assert_array_equal(examples['x'], _test(kind, 0.5)['x'][some])
    np.testing.assert_array_equal(examples['label'], PLAIN['label'][some])
    assert examples['x'].dtype == np.uint8 and examples['x'].shape[1:] == dataset.event_shape
    prints = {
        source.fingerprint,
        Corrupted(Digits(), kind, 0.5, seed=1).source('test').fingerprint,
        Corrupted(Digits(), kind, 0.4).source('test').fingerprint,
        Corrupted(Digits(), kind, 0.5).source('validation').fingerprint,
    }
    assert len(prints) == 4
    if kind != 'blurred':
        assert np.any(_test(kind, 0.5, seed=1)['x'] != _test(kind, 0.5)['x'])


@pytest.mark.parametrize('kind', ['occluded', 'noise', 'rotated', 'blurred'])
def test_without_strength_nothing_changes(kind):
    np.testing.assert_array_equal(_test(kind, 0.0)['x'], PLAIN['x'])


def test_strengths_are_what_they_are_declared_to_be():
    # A quarter of the area of 8 x 8 pixels; where no pixel was grey before, all can be counted.
    without = ~np.any(PLAIN['x'] == 128, axis=(1, 2, 3))
    assert without.sum() > 20
    grey = np.sum(_test('occluded', 0.25)['x'][without] == 128, axis=(1, 2, 3))
    np.testing.assert_array_equal(grey, 16)
    grey = np.abs(PLAIN['x'].astype(float) - 127.5) < 70  # out of the reach of clipping
    noise = (_test('noise', 0.05)['x'] - PLAIN['x'].astype(float))[grey]
    assert noise.std() == pytest.approx(0.05 * 255, rel=0.03)
    assert abs(noise.mean()) < 1
    blurred = _test('blurred', 0.25)['x'].astype(float)
    assert blurred.std((1, 2)).mean() < 0.5 * PLAIN['x'].std((1, 2)).mean()


@pytest.mark.parametrize('strength', [0.9, 0.1])
def test_a_cue_goes_with_the_class_as_often_as_it_shall(strength):
    x = _test('coloured', strength)['x'].astype(float)
    own = _test('coloured', 1.0)['x'].sum((1, 2))

    def directions(colours):
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)

    hues = directions(np.stack([own[PLAIN['label'] == k].sum(0, dtype=float) for k in range(10)]))
    shown = np.argmax(directions(x.sum((1, 2))) @ hues.T, axis=1)
    assert np.mean(shown == PLAIN['label']) == pytest.approx(strength, abs=0.05)
    # The shape is that of the image.
    np.testing.assert_allclose(x.max(-1), PLAIN['x'][..., 0], atol=1)


def test_textures_are_stripes_within_the_shape():
    x = _test('texture', 1.0)['x'].astype(float)
    assert np.all(x <= PLAIN['x'] + 0.5)
    assert x.sum() == pytest.approx(PLAIN['x'].sum() / 2, rel=0.03)


def test_what_it_refuses():
    with pytest.raises(UserError, match="no corruption 'noisy'; did you mean 'noise'"):
        Corrupted(Digits(), 'noisy', 0.1)
    with pytest.raises(
        UserError, match=r"strength=1\.5: that of 'rotated' is at least 0 and at most 1"
    ):
        Corrupted(Digits(), 'rotated', 1.5)
    with pytest.raises(UserError, match="strength=-1: that of 'noise' is at least 0 and finite"):
        Corrupted(Digits(), 'noise', -1)
    with pytest.raises(
        UserError, match=r"'coloured'\) takes grey images \[H, W, 1\]; those of Stacked"
    ):
        Corrupted(Stacked(), 'coloured', 1).source('test')
    with pytest.raises(UserError, match=r"'texture'\) needs labels, and Jars has none"):
        Corrupted(Jars(), 'texture', 1).source('test')
