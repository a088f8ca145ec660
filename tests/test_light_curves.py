"""Light curves from stored rows: how a curve's scatter is measured, and which aperture is taken."""

import numpy as np
import polars as pl
import pytest

from starmuster.analysis.light_curves import compare, step_scatter, trend_scatter
from starmuster.analysis.stars import Star
from starmuster.warehouse.config import Ensemble

N_FRAME = 120
TIME = 2460000.0 + np.arange(N_FRAME) * 0.002
STAR = Star(1, 1, "target")


def night(rng: np.random.Generator, dip: float = 0.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ten stars of 0.3 % noise under changing clouds; the target, number 1, dips in the middle."""
    clouds = 1 - 0.3 * np.abs(np.sin(np.arange(N_FRAME) / 9))
    level = 10_000 * 1.1 ** np.arange(10)
    flux = level[:, None] * clouds * (1 + 0.003 * rng.standard_normal((10, N_FRAME)))
    flux[0, 45:75] *= 1 - dip
    rows = pl.DataFrame(
        {
            "frame_id": np.tile(np.arange(N_FRAME), 10),
            "source_id": np.repeat(np.arange(1, 11), N_FRAME),
            "aperture_id": 3,
            "mid_bjd": np.tile(TIME, 10),
            "flux_adu": flux.ravel(),
            "flux_err_adu": 0.003 * flux.ravel(),
            "is_clean": True,
            "x_pix": np.repeat(100.0 * np.arange(10), N_FRAME),
            "y_pix": 50.0,
        }
    )
    points = rows.filter(source_id=1).select(
        "frame_id",
        "aperture_id",
        "is_clean",
        mid_jd_utc="mid_bjd",
        mid_bjd_tdb="mid_bjd",
        night=pl.lit("2023-02-24").str.to_date(),
        band=pl.lit("r"),
    )
    return rows, points


def test_scatter_is_that_of_the_noise_whatever_the_trend():
    rng = np.random.default_rng(3)
    offset = TIME - TIME[0]
    noise = 0.004 * rng.standard_normal(N_FRAME)
    slow = 1 + 0.05 * offset - 0.3 * offset**2 + noise
    for scatter in (step_scatter(slow), trend_scatter(TIME, slow)):
        assert scatter == pytest.approx(0.004, rel=0.35)


def test_red_noise_counts_in_the_scatter_about_a_trend_and_not_from_step_to_step():
    rng = np.random.default_rng(4)
    wave = 0.01 * np.sin(np.arange(N_FRAME) / 6)
    flux = 1 + wave + 0.001 * rng.standard_normal(N_FRAME)
    assert trend_scatter(TIME, flux) > 4 * step_scatter(flux)


def test_clouds_go_and_the_dip_stays_undiluted():
    rows, points = night(np.random.default_rng(5), dip=0.02)
    window = (TIME[44] - 1e-4, TIME[75] + 1e-4)
    curve = compare(rows, points, STAR, transit_bjd_tdb=window, options=Ensemble())
    flux = curve.points["relative_flux"].to_numpy()
    outside = np.r_[flux[:45], flux[75:]]
    depth = 1 - flux[45:75].mean() / outside.mean()
    error = np.hypot(0.003, 0.003 / 3) * np.sqrt(1 / 30 + 1 / 90)
    assert depth == pytest.approx(0.02, abs=3 * error)
    assert curve.scatter == pytest.approx(0.003, rel=0.4)
    assert curve.comparison["is_used"].sum() >= 5
    assert 1 not in curve.comparison["source_id"].to_list()


def test_the_dip_of_the_target_decides_neither_stars_nor_scatter():
    options, window = Ensemble(), (TIME[44] - 1e-4, TIME[75] + 1e-4)
    curves = [
        compare(
            *night(np.random.default_rng(6), dip=dip),
            STAR,
            transit_bjd_tdb=window,
            options=options,
        )
        for dip in (0.0, 0.05)
    ]
    flat, deep = curves
    assert deep.comparison.equals(flat.comparison)
    # the median that is made one moves a little, and the scatter with it
    assert deep.scatter == pytest.approx(flat.scatter, rel=0.01)


def test_a_night_all_in_transit_is_judged_by_its_comparison_stars():
    rows, points = night(np.random.default_rng(7), dip=0.05)
    curve = compare(rows, points, STAR, transit_bjd_tdb=(TIME[0], TIME[-1]), options=Ensemble())
    used = curve.comparison.filter("is_used")["scatter"]
    assert curve.scatter == pytest.approx(used.median())
