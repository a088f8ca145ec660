"""Stars beyond those that laid a frame on its field."""

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.extrapolation import is_extrapolated


@pytest.mark.parametrize(("degree", "reach"), [(1, 50.0), (2, 20.0), (3, 10.0)])
def test_the_higher_the_degree_the_nearer_a_star_must_be_to_the_matched_ones(degree, reach):
    box = np.array([100.0, 200.0])
    offset = np.array([-reach - 1, -reach + 1, 50, 100 + reach - 1, 100 + reach + 1])
    expected = [True, False, False, False, True]
    middle = np.full(5, 150.0)
    for x, y in ((100 + offset, middle), (middle, 100 + offset)):
        found = is_extrapolated(x, y, x_matched=box, y_matched=box, degree=degree)
        assert found.tolist() == expected


def test_columns_of_a_table_will_do():
    stars = pl.DataFrame({"x": [0.0, 9.0, 30.0], "y": [0.0, 9.0, 3.0]})
    near = stars.head(2)
    found = is_extrapolated(
        stars["x"], stars["y"], x_matched=near["x"], y_matched=near["y"], degree=1
    )
    assert found.tolist() == [False, False, True]


def test_a_star_without_a_place_is_beyond_all():
    found = is_extrapolated([np.nan], [1.0], x_matched=[0, 2], y_matched=[0, 2], degree=1)
    assert found.tolist() == [True]
