"""Isochrones between those of a grid, and what dust does to them, against naive formulas."""

import math

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.extinction import find_law
from starmuster.analysis.isochrones import Grid, choose_grid, grids
from starmuster.errors import UsageError
from starmuster.ingest.synthetic_isochrones import grid as curves_of
from starmuster.ingest.synthetic_isochrones import sketched

AGES, FEHS = (10.0, 12.0, 13.0), (-1.8, -1.35)


def points(ages=AGES, fehs=FEHS, spins=(0.4,), **changes) -> pl.DataFrame:
    """Rows as the query `isochrone_points` gives them, of colour g-i and magnitude r."""
    rows = [
        pl.DataFrame(
            {
                "grid_name": "MIST 1.2 synthetic",
                "is_synthetic": True,
                "age_gyr": curve.age_gyr,
                "feh_dex": curve.feh_dex,
                "alpha_fe_dex": 0.0,
                "v_over_vcrit": spin,
                "eep": curve.eep.astype(int),
                "initial_mass_msun": curve.mass_msun,
                "phase": curve.phase.astype(int),
                "blue_mag": curve.mag[:, 0],
                "red_mag": curve.mag[:, 2],
                "mag": curve.mag[:, 1],
            }
        )
        for feh in fehs
        for spin in spins
        for curve in curves_of(sketched(), ages, feh, spin)
    ]
    return pl.concat(rows).with_columns(**{name: pl.lit(value) for name, value in changes.items()})


def one_grid(**changes) -> Grid:
    return grids(points(**changes), "Pan-STARRS", ("g", "i", "r"))[0]


def test_at_a_node_the_curve_is_the_one_imported():
    curve = curves_of(sketched(), [12.0], -1.35)[0]
    found = one_grid().at(12.0, -1.35)
    np.testing.assert_allclose(found.mag, curve.mag[:, 1], atol=1e-12)
    np.testing.assert_allclose(found.colour, curve.mag[:, 0] - curve.mag[:, 2], atol=1e-12)
    assert found.eep.tolist() == curve.eep.tolist()


def test_between_nodes_every_point_is_linear_in_log_age_and_metallicity_at_equal_eep():
    # the shifts of the synthetic grid are linear in just these, hence the truth is known
    truth = curves_of(sketched(), [11.3], -1.5)[0]
    found = one_grid().at(11.3, -1.5)
    np.testing.assert_allclose(found.mag, truth.mag[:, 1], atol=1e-12)
    np.testing.assert_allclose(found.colour, truth.mag[:, 0] - truth.mag[:, 2], atol=1e-12)
    share = math.log10(11.3 / 10) / math.log10(12 / 10)
    low, high = (one_grid().at(age, -1.8).mag for age in (10.0, 12.0))
    middle = one_grid().at(11.3, -1.8).mag
    np.testing.assert_allclose(middle, (1 - share) * low + share * high, atol=1e-12)


def test_only_points_that_all_neighbours_have_are_interpolated():
    rows = points().filter((pl.col("age_gyr") != 12.0) | (pl.col("eep") < 600))
    grid = grids(rows, "Pan-STARRS", ("g", "i", "r"))[0]
    assert grid.at(11.0, -1.35).eep.max() == 599
    assert grid.at(10.0, -1.35).eep.max() > 600


@pytest.mark.parametrize(
    ("age", "feh", "message"),
    [
        (9.0, -1.35, "age 9 Gyr is outside the isochrones at hand, 10 to 13 Gyr"),
        (14.0, -1.35, "age 14 Gyr is outside"),
        (12.0, -2.5, "[Fe/H] -2.5 dex is outside the isochrones at hand, -1.8 to -1.35 dex"),
    ],
)
def test_ages_outside_the_grid_are_refused(age, feh, message):
    with pytest.raises(UsageError) as raised:
        one_grid().at(age, feh)
    assert message in str(raised.value)


def test_a_grid_of_one_age_knows_no_other():
    grid = one_grid(ages=(12.0,), fehs=(-1.35,))
    assert len(grid.at(12.0, -1.35).mag) > 400
    with pytest.raises(UsageError, match="at hand, 12 Gyr"):
        grid.at(11.0, -1.35)


def test_a_corner_without_a_file_is_told():
    rows = points().filter((pl.col("age_gyr") != 12.0) | (pl.col("feh_dex") != -1.8))
    grid = grids(rows, "Pan-STARRS", ("g", "i", "r"))[0]
    with pytest.raises(UsageError, match=r"no isochrone of 12 Gyr and \[Fe/H\] -1.8"):
        grid.at(11.0, -1.5)


def test_rotations_are_never_averaged_and_published_curves_come_first():
    several = grids(points(spins=(0.0, 0.4)), "Pan-STARRS", ("g", "i", "r"))
    assert [grid.v_over_vcrit for grid in several] == [0.0, 0.4]
    with pytest.raises(UsageError, match=r"several rotations, v/vcrit 0, 0\.4"):
        choose_grid(several)
    assert choose_grid(several, v_over_vcrit=0.0).v_over_vcrit == 0.0
    published = grids(points(grid_name="MIST 1.2", is_synthetic=False), "Pan-STARRS", ("g",) * 3)
    assert not choose_grid([several[1], *published]).is_synthetic
    with pytest.raises(UsageError, match="no isochrones PARSEC"):
        choose_grid(several, name="PARSEC")


def test_the_fixed_coefficients_are_the_published_ones_and_for_sdss_alone():
    law = find_law("wang-chen-2019")
    assert [law.coefficient("SDSS", band) for band in "gri"] == [1.205, 0.848, 0.630]
    for system, band in (("Pan-STARRS", "g"), ("SDSS", "z")):
        with pytest.raises(UsageError, match="coefficients are for SDSS g r i"):
            law.coefficient(system, band)
    with pytest.raises(UsageError, match="fixed coefficients"):
        find_law("wang-chen-2019", 3.1)


def test_a_law_by_name_is_that_of_cardelli_clayton_and_mathis():
    # CCM89 at 0.55 micrometres is a + b / R_V with its published polynomials in the optical
    y = 1 / 0.5448 - 1.82
    a = np.polyval([0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1], y)
    b = np.polyval([-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0], y)
    for r_v in (2.5, 3.1, 5.0):
        found = find_law("ccm89", r_v).coefficient("Johnson-Cousins", "V")
        assert found == pytest.approx(a + b / r_v, rel=1e-6)


def test_redder_bands_lose_less_and_systems_differ():
    law = find_law("G23")
    found = [law.coefficient("Pan-STARRS", band) for band in "grizy"]
    assert found == sorted(found, reverse=True)
    assert 1.1 < found[0] < 1.3
    assert law.coefficient("SDSS", "g") != found[0]


@pytest.mark.parametrize(
    ("name", "r_v", "message"),
    [("G99", None, "no extinction law 'G99'"), ("G23", 9.0, "holds for R_V of 2.3 to 5.6")],
)
def test_laws_that_do_not_exist_or_hold_are_refused(name, r_v, message):
    with pytest.raises(UsageError, match=message):
        find_law(name, r_v)


def test_a_band_without_a_known_wavelength_is_refused():
    with pytest.raises(UsageError, match="DECam g: its wavelength is not known"):
        find_law("G23").coefficient("DECam", "g")
