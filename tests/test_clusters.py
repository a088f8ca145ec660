"""Which detections are one star, and which number it keeps."""

from itertools import permutations

import numpy as np
import pytest

from starmuster.transforms.clusters import (
    Found,
    close_pairs,
    cluster_detections,
    keep_numbers,
)

RNG_SEED = 12


def found(nights, *, tolerance=2.0, epochs=None, flux=None):
    """Put searches (places of detections) one after another, the richest first."""
    order = sorted(range(len(nights)), key=lambda k: -len(nights[k]))
    places = [np.asarray(nights[k], float) for k in order]
    n = [len(place) for place in places]
    years = epochs or [2020.0] * len(nights)
    return Found(
        points=np.vstack(places),
        tolerance=np.full(sum(n), tolerance),
        search=np.repeat(np.arange(len(n)), n),
        flux=np.ones(sum(n)) if flux is None else flux,
        epoch_jyear=np.repeat([years[k] for k in order], n),
    )


def sky(n=400, *, seed=RNG_SEED):
    """Places at least 8 apart."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(0, 600, 12.0), np.arange(0, 600, 12.0)), -1)
    return rng.permutation(grid.reshape(-1, 2))[:n] + rng.uniform(-2, 2, (n, 2))


def test_each_star_is_one_cluster_whatever_the_nights_show():
    stars = sky()
    rng = np.random.default_rng(RNG_SEED)
    nights = [
        stars[:n] + rng.normal(0, 0.3, (n, 2))  # of 2.0 tolerance
        for n in (400, 150, 300, 80)
    ]
    clusters = cluster_detections(found(nights))
    assert len(clusters.seed) == 400
    assert np.bincount(clusters.star).max() == 4


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_clusters_do_not_depend_on_the_order_of_the_nights(order):
    rng = np.random.default_rng(RNG_SEED)
    crowded = rng.uniform(0, 60, (500, 2))  # most have a neighbour within the tolerance
    nights = [
        crowded[k:n] + rng.normal(0, 0.5, (n - k, 2)) for k, n in ((0, 400), (90, 450), (0, 90))
    ]
    expected = cluster_detections(found(nights))
    clusters = cluster_detections(found([nights[k] for k in order]))
    np.testing.assert_array_equal(clusters.star, expected.star)


def test_two_detections_of_one_night_are_never_one_star():
    rng = np.random.default_rng(RNG_SEED)
    nights = [rng.uniform(0, 40, (300, 2)) for _ in range(3)]
    given = found(nights)
    star = cluster_detections(given).star
    for search in range(3):
        own = star[given.search == search]
        assert len(np.unique(own)) == len(own)


def test_a_star_that_moved_is_followed_and_stays_one():
    stars = sky()
    moved = stars.copy()
    moved[:20] += [0.0, 4.0]  # twice the tolerance, less than half way to the next star
    years = [2020.0, 2022.5]
    assert len(cluster_detections(found([stars, moved], epochs=years)).seed) == 420
    assert (
        len(cluster_detections(found([stars, moved], epochs=years), motion_per_yr=2.0).seed) == 400
    )


def test_a_star_of_other_brightness_is_not_taken_for_one_that_moved():
    stars, moved = np.array([[10.0, 10.0]]), np.array([[10.0, 14.0]])
    given = found([stars, moved], epochs=[2020.0, 2023.0], flux=np.array([1.0, 5.0]))
    assert len(cluster_detections(given, motion_per_yr=2.0).seed) == 2


def numbered(stars, known, source_id, fields=None):
    fields = fields or {int(number): frozenset({1}) for number in source_id}
    return keep_numbers(
        np.asarray(stars, float),
        np.full(len(stars), 2.0),
        np.asarray(known, float).reshape(-1, 2),
        np.asarray(source_id),
        fields,
    )


def test_stars_keep_the_numbers_that_are_known_where_they_are():
    stars = sky(50)
    numbers = numbered(stars, stars[10:40] + 0.4, np.arange(30) + 7)
    np.testing.assert_array_equal(numbers.source_id[10:40], np.arange(30) + 7)
    assert not numbers.source_id[:10].any()
    assert numbers.merged == {}
    assert numbers.lost == []


def test_of_two_numbers_of_one_star_in_two_fields_the_lower_stays():
    fields = {5: frozenset({1}), 9: frozenset({2}), 12: frozenset({3})}
    numbers = numbered([[0, 0]], [[0.1, 0], [0.5, 0], [-0.4, 0]], [9, 12, 5], fields)
    assert numbers.source_id.tolist() == [5]
    assert numbers.merged == {9: 5, 12: 5}
    assert numbers.lost == []


def test_no_star_takes_over_the_light_curve_of_another_of_its_field():
    numbers = numbered([[0, 0]], [[0.1, 0], [0.9, 0]], [9, 5])
    assert numbers.source_id.tolist() == [9]
    assert numbers.lost == [5]


def test_a_known_place_without_a_star_is_lost_and_its_number_not_given_on():
    numbers = numbered([[0, 0], [50, 50]], [[20, 20]], [3])
    assert numbers.source_id.tolist() == [0, 0]
    assert numbers.lost == [3]


def test_pairs_nearer_than_their_radius_are_marked():
    stars = np.array([[0.0, 0], [1.5, 0], [10, 0], [12.5, 0]])
    assert close_pairs(stars, np.full(4, 2.0)).tolist() == [True, True, False, False]
