"""The worlds whose truth is known: is it as they claim?"""

import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import Avatars, Jars, WorldPoints, avatars, jars
from genjax.data.toy.world import clip, inside, shoelace
from genjax.errors import UserError

SQUARE = np.array([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)])
HOOK = np.array([(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)], float)


def everything(source):
    return source[np.arange(len(source))]


def test_areas_by_hand():
    assert shoelace(SQUARE) == shoelace(SQUARE[::-1]) == 4
    assert shoelace(HOOK) == 7
    low, high = np.array([-1.0, 2.0]), np.array([9.0, 9.0])
    assert shoelace(clip(HOOK, low, high)) == pytest.approx(2)  # the two prongs, cut off
    assert shoelace(clip(SQUARE, low + 5, high)) == 0
    assert shoelace(clip(SQUARE, np.array([0.5, -1]), np.array([1.5, 1]))) == pytest.approx(1)


def test_land_area_against_points_thrown_at_the_map():
    world = WorldPoints()
    x = np.random.RandomState(0).uniform((-2, -1), (2, 1), (100_000, 2))
    land = world.on_land(x)
    np.testing.assert_array_equal(land[:500], world.on_land(jnp.asarray(x[:500])))
    assert 8 * np.mean(land) == pytest.approx(world.land_area, abs=0.05)  # 4 standard errors
    low, high = np.array([-1.0, -0.4]), np.array([0.7, 0.5])
    within = np.all((x > low) & (x < high), axis=-1)
    area = world.land_area_within(low, high)
    assert 8 * np.mean(land & within) == pytest.approx(area, abs=0.04)
    assert world.land_area_within((-2, -1), (2, 1)) == pytest.approx(world.land_area)
    one_by_one = [inside(polygon, x) for polygon in world.polygons]
    assert np.sum(one_by_one, axis=0).max() == 1, 'no two continents overlap'


def test_points_of_the_world_are_on_land_and_spread_evenly():
    world = WorldPoints()
    x = everything(world.source('train'))['x']
    assert x.shape == (10_000, 2) and x.dtype == np.float32
    np.testing.assert_allclose(world.log_prob(x), -np.log(world.land_area), rtol=1e-6)
    assert np.isneginf(world.log_prob(np.array([[0.0, -0.6], [3.0, 0.0]]))).all()
    areas = np.array([shoelace(polygon) for polygon in world.polygons])
    found = np.array([np.sum(inside(polygon, x)) for polygon in world.polygons])
    expected = len(x) * areas / areas.sum()
    assert np.sum((found - expected) ** 2 / expected) < 22.5  # χ² of 6 degrees, p = .001


def test_the_population_of_avatars_is_a_distribution_over_all_combinations():
    people = avatars.combinations()
    assert len(people) == len(np.unique(people, axis=0)) == 3 * 8 * 4 * 6 * 7 == 4032
    log_prob = np.asarray(Avatars().log_prob(people), np.float64)
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(log_prob).all()
    with pytest.raises(UserError, match=r'features \[B, 5\]'):
        Avatars('pictures').log_prob(np.zeros((2, 32, 32, 3)))


@pytest.mark.parametrize(
    ('feature', 'cause', 'value', 'of_cause'),
    [('mouth', 'glasses', 2, 2), ('shirt', 'hair', 0, 6), ('backdrop', 'shirt', 5, 5)],
)
def test_features_follow_their_cause_in_half_of_the_people(feature, cause, value, of_cause):
    names, table = list(avatars.FEATURES), avatars.population()
    axes = tuple(i for i, name in enumerate(names) if name not in (feature, cause))
    pair = table.sum(axis=axes)
    if names.index(feature) > names.index(cause):
        pair = pair.T
    given = pair[:, of_cause] / pair[:, of_cause].sum()
    habit = 0.85 ** np.arange(len(given)) / np.sum(0.85 ** np.arange(len(given)))
    assert given[value] == pytest.approx(0.5 + 0.5 * habit[value])


def test_avatars_are_drawn_from_their_population():
    dataset = Avatars('table')
    sizes = {split: len(dataset.source(split)) for split in ('train', 'validation', 'test')}
    assert sizes == {'train': 50, 'validation': 1000, 'test': 10_000}
    x = everything(dataset.source('test'))['x']
    assert x.dtype == np.int32
    table = avatars.population()
    entropy = -np.sum(table * np.log(table))
    spread = np.sqrt(np.sum(table * np.log(table) ** 2) - entropy**2)
    assert -np.mean(dataset.log_prob(x)) == pytest.approx(entropy, abs=4 * spread / 100)


def test_no_two_avatars_look_the_same():
    pictures = avatars.render(avatars.combinations())
    assert pictures.shape == (4032, 32, 32, 3) and pictures.dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures}) == 4032
    np.testing.assert_array_equal(avatars.render(avatars.combinations()[77:79]), pictures[77:79])


def test_pictures_of_avatars_are_those_of_their_features():
    dataset = Avatars('pictures')
    x, people = everything(dataset.source('test'))['x'], dataset.factors('test')
    assert x.shape == (2000, *dataset.event_shape) and people.shape == (2000, 5)
    np.testing.assert_array_equal(x, avatars.render(people))
    table = Avatars('table')
    np.testing.assert_array_equal(table.factors('train'), everything(table.source('train'))['x'])


def test_jars_have_the_height_and_width_that_are_claimed():
    """Rows and columns of a picture, weighed by how much of them is not background."""
    dataset = Jars()
    x, factors = everything(dataset.source('test'))['x'], dataset.factors('test')
    assert x.shape == (1000, *dataset.event_shape) and factors.shape == (1000, 2)
    np.testing.assert_array_equal(x, jars.render(factors))
    dark = 230.0 - x[..., 0]
    height = dark[:, :, 16].clip(0, 110).sum(axis=1) / 110 - 3  # without the lid
    width = dark[:, 27, :].sum(axis=1) / 110
    np.testing.assert_allclose(height, factors[:, 0], atol=1.0)
    np.testing.assert_allclose(width, factors[:, 1], atol=0.05)


def test_factors_of_jars_are_independent_and_keep_the_jar_in_the_picture():
    factors = jars.draw_factors(np.random.RandomState(1), 20_000)
    assert factors.shape == (20_000, 2)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.03
    np.testing.assert_allclose(factors.mean(axis=0), (18, 14), atol=0.1)
    assert factors.max() <= 18 + 7.5 and factors.min() >= 14 - 7.5
    largest = jars.render(np.array([[25.5, 21.5]]))[0, :, :, 0]
    background = 230
    assert (largest[[-1], :] == background).all() and (largest[:, [0, -1]] == background).all()
    assert largest[0].max() == background and largest[0, 16] > 30, 'the lid ends below the edge'


def test_an_unknown_form_is_refused():
    with pytest.raises(UserError, match="no form 'picture'; did you mean 'pictures'"):
        Avatars('picture')


def test_worlds_never_change():
    """Figures of different releases can be compared only while the content stays."""
    found = {
        'world': WorldPoints().source('test').fingerprint[:16],
        'table': Avatars('table').source('train').fingerprint[:16],
        'pictures': Avatars('pictures').source('test').fingerprint[:16],
        'jars': Jars().source('test').fingerprint[:16],
    }
    assert found == {
        'world': 'defd0f25d853e89e',
        'table': 'b8b24b4426f329e3',
        'pictures': '579907d3648cfb06',
        'jars': '36a915d94e3b46d2',
    }
