"""Ensembles in SQL: the curve of a target over its comparison stars, and lists of stars."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.ensembles import differential
from starmuster.transforms.flags import Flag
from starmuster.warehouse.store import shipped


@pytest.fixture
def sky(small_sky):
    return small_sky


def compare(sky: Any, weights: dict[int, float], **changes: Any) -> None:
    """Store comparison stars of source 1 in aperture 1."""
    for source_id, weight in weights.items():
        row = {
            "target_source_id": 1,
            "night": sky.night,
            "band": "r",
            "aperture_id": 1,
            "source_id": source_id,
            "is_used": weight > 0,
            "weight": weight or None,
        }
        sky.put("comparison_star", row | changes)


def curve(sky: Any) -> pl.DataFrame:
    return sky.rows("from differential_light_curve order by frame_id")


def scene(n_frame: int = 24, *, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return fluxes of three stars under clouds, and the dip of the first."""
    rng = np.random.default_rng(seed)
    clouds = np.linspace(1.0, 0.6, n_frame) * (1 + 0.1 * np.sin(np.arange(n_frame)))
    dip = np.where(np.abs(np.arange(n_frame) - n_frame // 2) < 4, 0.98, 1.0)
    flux = np.array([40_000.0, 50_000.0, 30_000.0])[:, None] * clouds
    return flux * rng.normal(1, 1e-4, flux.shape) * np.array([dip, dip**0, dip**0]), dip


def test_with_all_stars_present_the_curve_is_the_plain_ratio(sky):
    flux, dip = scene()
    sky.observe(flux)
    compare(sky, {2: 0.7, 3: 0.3})
    found = curve(sky)
    level = np.median(flux, axis=1)
    for _ in range(50):  # levels and factors by turns, as the view states
        factor = 0.7 * flux[1] / level[1] + 0.3 * flux[2] / level[2]
        level = np.median(flux / factor, axis=1)
    naive = flux[0] / factor
    relative = found["relative_flux"].to_numpy()
    assert relative == pytest.approx(naive / np.median(naive), rel=1e-6)
    assert relative == pytest.approx(dip, abs=6e-4)
    ensemble = found["ensemble_flux"].to_numpy()
    assert ensemble == pytest.approx(factor / np.median(factor), rel=1e-6)
    assert found["n_comparison"].unique().to_list() == [2]


def test_the_error_holds_that_of_target_and_ensemble(sky):
    flux, _ = scene()
    sky.observe(flux)
    compare(sky, {2: 0.7, 3: 0.3})
    found = curve(sky)
    stars = sky.rows("select source_id, frame_id, flux_err_adu from light_curve order by frame_id")
    err = np.array([stars.filter(source_id=i)["flux_err_adu"].to_numpy() for i in (1, 2, 3)])
    level = np.median(flux / found["ensemble_flux"].to_numpy(), axis=1)
    ensemble_err = np.hypot(0.7 * err[1] / level[1], 0.3 * err[2] / level[2])
    relative = found["relative_flux"].to_numpy()
    expected = np.hypot(err[0] / flux[0], ensemble_err / found["ensemble_flux"].to_numpy())
    assert found["relative_flux_err"].to_numpy() == pytest.approx(relative * expected, rel=1e-4)


def test_a_star_that_is_missing_under_clouds_makes_no_step(sky):
    """The trap: divided by its own mean, a star seen only while it was clear counts too low."""
    flux, dip = scene()
    flux[1, 14:] = np.nan
    sky.observe(flux)
    compare(sky, {2: 0.5, 3: 0.5})
    found = curve(sky)
    assert found["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)
    assert found["n_comparison"].to_list() == [2] * 14 + [1] * 10


def test_the_view_and_the_analysis_draw_the_same_curve(sky):
    flux, _ = scene(seed=8)
    flux[1, 3:9] = np.nan
    flux[2, 15:] = np.nan
    sky.observe(flux)
    compare(sky, {2: 0.6, 3: 0.4}, scatter=0.001)
    rows = sky.rows("from light_curve").rename({"mid_bjd_tdb": "mid_bjd"})
    comparison = sky.rows("from comparison_star")
    expected = differential(rows, 1, comparison)
    found = curve(sky)
    for column in ("relative_flux", "relative_flux_err", "ensemble_flux"):
        assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=1e-5)
    assert found["n_comparison"].to_list() == expected["n_comparison"].to_list()


def test_unclean_and_rejected_stars_have_no_part_in_the_ensemble(sky):
    flux, _ = scene()
    sky.observe(flux)
    compare(sky, {2: 1.0, 3: 0.0})
    before = curve(sky)["relative_flux"].to_numpy()
    sky.con.execute("update aperture_flux set flux_adu = 1e9 where source_id = 3")
    severe = int(Flag.SATURATED)
    sky.con.execute(
        f"update aperture_flux set flux_adu = 1e9, flags = {severe} "
        "where source_id = 2 and frame_id = 4"
    )
    found = curve(sky)
    assert found["frame_id"].to_list() == [i for i in range(1, 25) if i != 4]
    assert found["relative_flux"].to_numpy() == pytest.approx(np.delete(before, 3), rel=2e-3)


def test_a_point_of_the_target_that_is_not_clean_is_shown_as_such(sky):
    flux, _ = scene()
    sky.observe(flux)
    compare(sky, {2: 1.0})
    sky.con.execute(
        f"update measurement set flags = {int(Flag.BAD_PIXEL)} where source_id = 1 and frame_id = 4"
    )
    sky.con.execute("update aperture_flux set flux_adu = null where source_id = 1 and frame_id = 5")
    found = curve(sky)
    assert found.filter(~pl.col("is_clean"))["frame_id"].to_list() == [4]
    assert found.filter(pl.col("relative_flux").is_null())["frame_id"].to_list() == [5]
    assert found["relative_flux"].is_nan().any() is False


def test_nights_bands_and_targets_do_not_mix(sky):
    flux, dip = scene()
    sky.observe(flux)
    compare(sky, {2: 0.5, 3: 0.5})
    compare(sky, {3: 1.0}, target_source_id=2)
    other = {"night": sky.night + timedelta(days=1)}
    sky.expose([101, 102], [sky.start + timedelta(days=1)] * 2, **other)
    sky.measure({(frame_id, star): 7.0 for frame_id in (101, 102) for star in sky.stars})
    found = curve(sky).filter(source_id=1)
    assert found.height == 24
    assert found["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)
    compare(sky, {2: 1.0}, **other)
    second = curve(sky).filter(source_id=1, night=other["night"])
    assert second["relative_flux"].to_list() == [1.0, 1.0]


def test_frames_without_a_band_have_a_curve_too(sky):
    flux, dip = scene()
    sky.observe(flux, band=None)
    compare(sky, {2: 0.5, 3: 0.5}, band=None)
    assert curve(sky)["relative_flux"].to_numpy() == pytest.approx(dip, abs=6e-4)


def test_light_curve_queries_choose_star_and_aperture(sky):
    sky.observe(scene()[0])
    compare(sky, {2: 1.0})
    for given in ({"source_id": 2, "aperture_id": 1}, {"source_id": "2"}):
        rows = shipped(sky.con, "light_curve", **given)
        assert rows["source_id"].unique().to_list() == [2]
        assert rows["mid_utc"].is_sorted()
        assert rows.height == 24
    assert shipped(sky.con, "light_curve", aperture_id=9).is_empty()
    assert shipped(sky.con, "differential_light_curve", source_id=1).height == 24
    assert shipped(sky.con, "differential_light_curve", source_id=2).is_empty()


def test_the_steadiest_stars_come_first(sky):
    rng = np.random.default_rng(3)
    noise = np.array([0.02, 0.001, 0.005, 0.002, 0.003])[:, None]
    for source_id in (4, 5):
        sky.put("source", {"source_id": source_id, "field_id": 1})
    clouds = rng.uniform(0.5, 1, 24)
    sky.observe(50_000 * clouds * rng.normal(1, noise, (5, 24)))
    rows = shipped(sky.con, "constant_stars", field="HATP-32", night=str(sky.night), band="r")
    assert rows["source_id"].to_list()[-1] == 1
    assert set(rows["source_id"].to_list()[:2]) <= {2, 4, 5}
    assert rows["scatter_mag"][-1] == pytest.approx(0.02 * 1.086, rel=0.5)
    assert rows["scatter_mag"][0] < 0.005
    assert shipped(sky.con, "constant_stars", field="M 13").is_empty()
