"""Terms of baselines."""

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.baselines import covariate_columns, design
from starmuster.errors import UsageError

TIME_D = 2459000.0 + np.linspace(0, 0.2, 50)
COLUMNS = {"time": TIME_D, "airmass": 1 + (TIME_D - TIME_D[0]) ** 2}


def test_terms_are_one_and_then_of_mean_zero_and_scatter_one():
    terms = design("time + airmass + time^2", COLUMNS)
    assert terms is not None
    assert np.array_equal(terms[:, 0], np.ones(50))
    assert np.allclose(terms[:, 1:].mean(axis=0), 0, atol=1e-10)
    assert np.allclose(terms[:, 1:].std(axis=0), 1)
    assert design("constant", COLUMNS).shape == (50, 1)


def test_a_baseline_without_its_column_cannot_be_tried():
    gap = COLUMNS["airmass"].copy()
    gap[3] = np.nan
    assert design("fwhm", COLUMNS) is None
    assert design("time + airmass", COLUMNS | {"airmass": gap}) is None
    assert design("airmass", COLUMNS | {"airmass": np.ones(50)}) is None


@pytest.mark.parametrize("name", ["", "time +", "time^9", "time^x"])
def test_unreadable_baselines_are_refused(name):
    with pytest.raises(UsageError, match="cannot read the term"):
        design(name, COLUMNS)


def test_covariates_come_from_frames_with_gaps_as_nan():
    columns = covariate_columns(TIME_D[:2], pl.DataFrame({"airmass": [1.1, None]}))
    assert columns["airmass"][0] == 1.1
    assert np.isnan(columns["airmass"][1])
    with pytest.raises(UsageError, match="3 values for 2 points"):
        covariate_columns(TIME_D[:2], {"airmass": [1, 2, 3]})
