"""LPSEB35: an eclipsing binary with its own bias, dark and flats."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.flags import Flag

pytestmark = pytest.mark.real


STAR = "16:00:44.0 +43:08:42"


@pytest.fixture(scope="module")
def eclipse(reduced) -> pl.DataFrame:
    return pl.DataFrame(reduced.command("light-curve", STAR))


@pytest.fixture(scope="module")
def minimum(reduced) -> dict[str, Any]:
    """The minimum by two methods, and the number of its star."""
    (found,) = reduced.command("minimum", STAR)
    return found | reduced.sql("select source_id from minimum_fit").row(0, named=True)


def test_lpseb35_is_calibrated_with_its_own_frames(reduced):
    used = reduced.sql(
        "select kind, master.n_frame, count(*) as n_light from calibration "
        "join frame using (frame_id) join master "
        "on master_id in (bias_master_id, dark_master_id, flat_master_id) "
        "where target_key = 'lpseb35' group by all order by kind"
    )
    assert used.rows() == [("bias", 7, 60), ("dark", 5, 60), ("flat", 3, 60)]
    assert not reduced.sql(
        "select flags from frame_quality join frame using (frame_id) "
        "where target_key = 'lpseb35' and flags <> 0"
    ).height


def test_the_eclipse_of_lpseb35_has_its_minimum_and_depth(eclipse):
    assert eclipse.height == 60
    assert set(eclipse["flags"]) <= {0, Flag.HOT_PIXEL.value}  # its dark current is taken off
    time_d, flux = (eclipse[name].to_numpy() for name in ("mid_jd_utc", "relative_flux"))
    middle = np.median(time_d[np.argsort(flux)[:10]])
    near = np.abs(time_d - middle) < 0.03
    curve = np.polynomial.Polynomial.fit(time_d[near] - middle, flux[near], 4)
    offset = np.linspace(-0.015, 0.015, 3001)
    lowest = int(np.argmin(curve(offset)))
    assert middle + offset[lowest] == pytest.approx(2460825.7070, abs=3 / 1440)
    brightest = np.sort(flux)[-8:].mean()
    assert 0.30 < 1 - curve(offset[lowest]) / brightest < 0.34
    # noise about a smooth curve: the observer's own pair of stars has 1.4 % from photons alone
    assert np.std(flux[near] - curve(time_d[near] - middle)) < 0.017


def test_the_minimum_of_lpseb35_is_the_same_by_two_methods(reduced, minimum):
    assert minimum["verdict"] == "minimum"
    assert minimum["difference_sigma"] < 3
    assert 0.0001 < minimum["kwee_err_d"] < 0.001
    assert 0.0001 < minimum["polynomial_err_d"] < 0.001
    light_s = reduced.sql(
        "select avg(mid_bjd_tdb - mid_jd_utc) as d from light_curve join frame using (frame_id) "
        "where target_key = 'lpseb35'"
    )["d"][0]
    assert minimum["kwee_bjd_tdb"] - light_s == pytest.approx(2460825.7070, abs=2 / 1440)
    assert reduced.sql("from minimum_fit").height == 1


def test_comparison_stars_can_be_pinned_and_banned(reduced, minimum):
    aperture = ("--aperture", "6 arcsec")
    reduced.command("light-curve", STAR, *aperture)
    chosen = (
        "select source_id, is_used, reason from comparison_star join aperture using (aperture_id) "
        f"where target_source_id = {minimum['source_id']} and aperture_name = '6 arcsec'"
    )
    used = reduced.sql(chosen).filter("is_used")["source_id"][0]
    listed = reduced.command("comparison", "ban", STAR, str(used), "--note", "it flares")
    assert [row["choice"] for row in listed] == ["ban"]
    reduced.command("light-curve", STAR, *aperture)
    again = reduced.sql(chosen).filter(source_id=used)
    assert not again["is_used"].any()
    assert again["reason"][0] == "banned by hand: it flares"
    reduced.command("comparison", "free", STAR, str(used))


def test_a_field_holds_no_stars_from_the_bright_edge_of_the_sensor(reduced):
    stars = reduced.sql(
        "select y_pix from source join field using (field_id) where field_name = 'LPSEB35'"
    )
    assert 17 <= stars.height <= 45
    assert stars["y_pix"].min() > 4


def test_errors_of_steady_stars_say_how_much_they_scatter(reduced, minimum):
    brightest = reduced.sql(
        "select source_id from source join field using (field_id) "
        "where field_name = 'LPSEB35' order by flux_adu desc limit 4 offset 1"
    )["source_id"]
    ratios: list[float] = []
    for source_id in set(brightest) - {minimum["source_id"]}:
        curve = reduced.command("light-curve", str(source_id), "--aperture", "4 arcsec")
        points = pl.DataFrame(curve)
        flux, err = (points[name].to_numpy() for name in ("relative_flux", "relative_flux_err"))
        ratios.append(np.std(np.diff(flux) / np.hypot(err[1:], err[:-1])))
    # 59 differences tell the ratio of one star to 12 %, the model of its noise is as good
    assert 0.75 < np.median(ratios) < 1.25


def test_stars_of_lpseb35_are_constant_within_their_errors(reduced):
    stars = pl.DataFrame(reduced.command("sql", "star_errors", "night=2025-05-29"))
    bright = stars.filter(pl.col("quoted_err_mag") < 0.0217).sort("level_mag")
    comparison = bright.filter("is_constant")
    assert comparison.height >= 6
    assert bright.height - comparison.height == 1  # the eclipsing binary
    model = (comparison["quoted_err_mag"] ** 2 + comparison["noise_floor_mag"] ** 2).sqrt()
    assert (comparison["scatter_mag"] / model).max() <= 1.25
    assert comparison["scatter_mag"].head(3).max() <= 0.009
