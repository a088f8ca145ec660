"""The audit of errors on made-up rows whose true scatter is known."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from starmuster.transforms.aperture_choice import choose_aperture
from starmuster.transforms.dimming import frame_dimming
from starmuster.warehouse.store import shipped

COLUMNS = [
    "field",
    "night",
    "band",
    "mag_bin",
    "n_star",
    "median_quoted_err",
    "median_scatter",
    "reduced_chi2",
    "noise_floor",
    "independent",
]
NIGHT, START = date(2024, 3, 8), datetime(2024, 3, 8, 20)
GAIN, N_PIX, N_SKY_PIX, SKY_RMS_ADU = 1.5, 80.0, 400, 8.0


@pytest.fixture
def observe(database, fill):
    """Put a night of constant stars into the database: rows as photometry would store them."""

    def put(table, rows):
        database.register("given", fill(table, rows.to_dicts()))
        database.execute(f"insert into {table} by name from given")

    def observe(seed, *, n_star, n_frame, floor=0.0, variable=0, flux_range=(2.6, 5.3)):
        rng = np.random.default_rng(seed)
        flux = 10 ** np.linspace(*flux_range[::-1], n_star)
        x, y = rng.uniform(0, 999, (2, n_star))
        frame_ids = np.arange(1, n_frame + 1)
        put("camera", pl.DataFrame({"camera_id": 1, "gain_e_per_adu": [GAIN]}))
        put("field", pl.DataFrame({"field_id": 1, "field_name": ["Made up"]}))
        put("aperture", pl.DataFrame({"aperture_id": [1], "kind": "fwhm", "radius": 2.0}))
        put("source", pl.DataFrame({"source_id": np.arange(n_star), "field_id": 1}))
        times = [START + timedelta(minutes=3 * int(i)) for i in frame_ids]
        shape = {"n_x_pix": 1000, "n_y_pix": 1000, "exposure_s": 30.0, "camera_id": 1}
        frame = pl.DataFrame({"frame_id": frame_ids, "mid_utc": times}).with_columns(
            pl.col("frame_id").cast(pl.String).alias("content_hash"),
            band=pl.lit("g"),
            night=pl.lit(NIGHT),
            frame_type=pl.lit("light"),
            **{name: pl.lit(value) for name, value in shape.items()},
        )
        put("frame", frame)
        put("frame_quality", pl.DataFrame({"frame_id": frame_ids, "fwhm_pix": 3.0}))
        put("field_frame", pl.DataFrame({"frame_id": frame_ids, "field_id": 1}))
        cloud = 10 ** (-0.4 * rng.choice([0.0, 0.05, 0.3], n_frame))
        expected = flux * cloud[:, None]
        amplitude = np.where(np.arange(n_star) < variable, 0.3, 0.0)
        swing = 1 + amplitude * np.sin(2 * np.pi * frame_ids[:, None] / max(n_frame, 7))
        sky = N_PIX * (1 + 1.19 * N_PIX / N_SKY_PIX) * SKY_RMS_ADU**2
        noise = np.sqrt(expected / GAIN + sky + (floor * expected) ** 2)
        measured = expected * swing + rng.normal(0, noise)
        point = pl.DataFrame(
            {
                "frame_id": np.repeat(frame_ids, n_star),
                "source_id": np.tile(np.arange(n_star), n_frame),
                "x_pix": np.tile(x, n_frame),
                "y_pix": np.tile(y, n_frame),
                "sky_rms_adu": SKY_RMS_ADU,
                "n_sky_pix": N_SKY_PIX,
                "flux_adu": measured.ravel(),
            }
        )
        put("measurement", point.drop("flux_adu"))
        put(
            "aperture_flux",
            point.select("frame_id", "source_id", "flux_adu").with_columns(
                aperture_id=pl.lit(1), n_pix=pl.lit(N_PIX)
            ),
        )
        common = shipped(database, "common_stars", frame_ids=frame_ids.tolist())
        dimming = frame_dimming(common, centre_pix=(499.5, 499.5)).with_columns(
            aperture_id=pl.lit(1, pl.Int16)
        )
        put("frame_transparency", dimming)
        choice = choose_aperture(common, dimming, centre_pix=(499.5, 499.5))
        put(
            "aperture_choice",
            choice.with_columns(field_id=pl.lit(1), night=pl.lit(NIGHT), band=pl.lit("g")),
        )
        return shipped(database, "error_audit")

    return observe


def pooled(rows: pl.DataFrame) -> float:
    """Chi-square of all bins together; bins of like numbers have like degrees of freedom."""
    return float((rows["reduced_chi2"] * rows["n_star"]).sum() / rows["n_star"].sum())


def test_the_columns_are_those_that_are_promised(observe):
    assert observe(1, n_star=20, n_frame=6).columns == COLUMNS


def test_right_errors_have_a_reduced_chi_square_of_one_and_no_floor(observe):
    rows = observe(2, n_star=200, n_frame=25)
    assert rows["n_star"].sum() >= 195
    assert rows["n_star"].max() - rows["n_star"].min() <= 1
    assert rows["n_star"].min() >= 5
    assert rows["mag_bin"].is_sorted()
    for row in rows.iter_rows(named=True):
        # 16 stars of 24 degrees of freedom: 5 %
        assert row["reduced_chi2"] == pytest.approx(1, abs=0.2)
        assert row["median_scatter"] == pytest.approx(row["median_quoted_err"], rel=0.2)
    assert pooled(rows) == pytest.approx(1, abs=0.06)
    assert rows["noise_floor"].max() < 0.002
    assert rows["independent"].all()


@pytest.mark.parametrize("n_frame", [2, 3])
def test_two_or_three_frames_are_enough(observe, n_frame):
    rows = observe(3, n_star=300, n_frame=n_frame)
    assert pooled(rows) == pytest.approx(1, abs=0.15)
    assert (rows["median_scatter"] / rows["median_quoted_err"]).mean() == pytest.approx(1, abs=0.15)


def test_a_noise_floor_is_found_and_then_the_bright_stars_fit(observe):
    rows = observe(4, n_star=200, n_frame=25, floor=0.008)
    assert rows["noise_floor"][0] == pytest.approx(2.5 / np.log(10) * 0.008, rel=0.2)
    assert rows["reduced_chi2"][0] == pytest.approx(1, abs=0.25)
    assert rows["median_scatter"][0] > 2 * rows["median_quoted_err"][0]


def test_variable_stars_are_left_out(observe):
    rows = observe(5, n_star=100, n_frame=25, variable=4)
    assert rows["n_star"].sum() <= 97
    assert pooled(rows) == pytest.approx(1, abs=0.1)
    assert rows["noise_floor"][0] < 0.002


def test_a_handful_of_stars_is_one_bin_and_fewer_none(observe):
    assert observe(6, n_star=9, n_frame=40, flux_range=(3.5, 5))["n_star"].to_list() == [9]


def test_fewer_than_five_stars_are_not_judged(observe):
    assert observe(7, n_star=4, n_frame=20, flux_range=(4, 5)).is_empty()


def test_errors_from_the_scatter_of_stars_are_not_independent(observe, database, fill):
    observe(8, n_star=30, n_frame=10)
    database.execute("update camera set gain_e_per_adu = null")
    fit = {"camera_id": 1, "night": NIGHT, "band": "g", "method": "star scatter"}
    database.register("given", fill("gain_fit", [fit | {"gain_e_per_adu": GAIN}]))
    database.execute("insert into gain_fit by name from given")
    rows = shipped(database, "error_audit")
    assert rows.height > 0
    assert not rows["independent"].any()
