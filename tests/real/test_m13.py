"""M13: four bands, a crowd."""

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.real


def test_m13_is_calibrated_and_measured_in_four_bands(reduced):
    done = reduced.sql(
        "select frame.band, count(*) as n, min(flat.band) as flat_band, "
        "max(flat.band) as last_band, count(bias_master_id) as n_bias, "
        "count(dark_master_id) as n_dark "
        "from frame join frame_quality using (frame_id) join calibration using (frame_id) "
        "join master as flat on flat.master_id = flat_master_id "
        "where target_key = 'm13' group by frame.band order by frame.band"
    )
    assert done["band"].to_list() == done["flat_band"].to_list() == list("girz")
    assert done["flat_band"].to_list() == done["last_band"].to_list()
    assert done["n"].sum() == done["n_bias"].sum() == done["n_dark"].sum() == 12


def test_the_gain_of_m13s_camera_comes_from_its_flats_in_every_band(reduced):
    fits = reduced.sql(
        "select band, gain_e_per_adu, read_noise_e from gain_fit "
        "where method = 'photon transfer' and night = date '2019-05-02'"
    )
    assert sorted(fits["band"]) == list("girz")
    assert fits["gain_e_per_adu"].is_between(1.28, 1.32).all()
    assert fits["read_noise_e"].is_between(7.2, 7.7).all()


@pytest.fixture(scope="module")
def m13(reduced) -> pl.DataFrame:
    """Instrumental magnitudes of M13, clean and five times their error or more."""
    return reduced.sql(
        "select source_id, frame_id, light_curve.band, instrumental_mag as mag "
        "from light_curve join field using (field_id) join aperture using (aperture_id) "
        "where field_name = 'M13' and aperture_name = '1 fwhm' and is_clean "
        "and flux_adu > 5 * flux_err_adu"
    )


def test_green_and_red_frames_of_m13_share_900_stars(m13):
    stars = {band: set(rows["source_id"]) for (band,), rows in m13.group_by("band")}
    assert len(stars["g"] & stars["r"]) >= 900


@pytest.mark.parametrize(("band", "limit_mag"), [("g", 0.016), ("r", 0.012), ("i", 0.012)])
def test_bright_stars_of_m13_repeat_from_frame_to_frame(m13, band, limit_mag):
    table = m13.filter(band=band).pivot("frame_id", index="source_id", values="mag").drop_nulls()
    mag = table.drop("source_id").to_numpy()
    bright = mag[np.argsort(mag.mean(axis=1))][:100]
    offset = bright - bright.mean(axis=1, keepdims=True)
    offset -= np.median(offset, axis=0)  # thin cloud: a zero point for each frame
    n_frame = mag.shape[1]
    scatter = np.sqrt(np.median((offset**2).sum(axis=1)) / (n_frame - 1))
    assert scatter < limit_mag


def test_the_colours_of_m13_show_a_giant_branch_a_horizontal_branch_and_the_gap(m13):
    mean = m13.group_by("source_id", "band").agg(pl.col("mag").median())
    table = mean.pivot("band", index="source_id", values="mag").drop_nulls(["g", "r"])
    red, colour = table["r"].to_numpy(), (table["g"] - table["r"]).to_numpy()
    level = (red > -5.6) & (red < -4.2)  # of the horizontal branch, below its brightest stars

    def n_between(bluest: float, reddest: float) -> int:
        return int((level & (colour > bluest) & (colour < reddest)).sum())

    assert n_between(0.7, 1.05) > 150  # giants
    assert n_between(-0.2, 0.3) > 60  # horizontal branch
    assert n_between(0.35, 0.6) < 0.3 * n_between(-0.2, 0.3)  # RR Lyrae gap
    tip = red < np.sort(red)[10]
    assert np.median(colour[tip]) > 1.3  # the brightest are the reddest


@pytest.mark.parametrize("colour", ["g-r", "g-i"])
def test_the_diagram_of_m13_is_one_command_with_its_isochrone(reduced, real_data, tmp_path, colour):
    isochrones = str(next((real_data / "isochrones").glob("*.iso.cmd")))
    reduced.command("import", "isochrones", isochrones)
    words = ["cmd", "M13", "--colour", colour, "--mag", "r", "--max-err", "0.1"]
    words += ["--distance", "7200", "--av", "0.06"]
    for suffix in (".png", ".csv"):
        words += ["--output", str(tmp_path / f"m13{suffix}")]
    rows = reduced.command(*words)
    assert len(rows) >= 900
    assert not any(row["calibrated"] for row in rows)
    stars = pl.read_csv(tmp_path / "m13.csv")
    bright = stars.filter(pl.col("n_mag_frame") > 1).sort("mag").head(100)
    assert bright["scatter_mag"].median() < 0.02
    fit = reduced.sql("from isochrone_fit order by isochrone_fit_id desc limit 1").row(
        0, named=True
    )
    assert (fit["method"], fit["is_calibrated"]) == ("least squares", False)
    assert (fit["distance_pc"], fit["a_v_mag"]) == (pytest.approx(7200), 0.06)
    assert fit["mag_offset_mag"] == pytest.approx(20.95, abs=0.3)


def test_the_cloud_between_two_frames_of_m13_shows_with_its_gradient(reduced):
    rows = reduced.sql(
        "select aperture_name, frame_id, dimming_mag, x_gradient_mag, y_gradient_mag "
        "from frame_transparency join aperture using (aperture_id) join frame using (frame_id) "
        "where band = 'g' and target_key like '%m13%' and kind = 'fwhm' order by frame_id"
    )
    assert rows.height == 8
    for (name,), pair in rows.group_by("aperture_name"):
        change = np.abs(np.diff(pair["dimming_mag"].to_numpy()))[0]
        gradient = np.hypot(*(np.diff(pair[f"{axis}_gradient_mag"].to_numpy())[0] for axis in "xy"))
        assert change == pytest.approx(0.375, abs=0.03), name
        assert 0.005 < gradient < 0.04, name  # mag per 1000 pixels


def test_repeated_bright_stars_of_m13_scatter_as_little_as_its_observers_found(reduced):
    stars = pl.DataFrame(reduced.command("sql", "star_errors", "night=2019-05-02"))
    bright = stars.filter(pl.col("is_constant") & (pl.col("quoted_err_mag") < 0.01))
    found = dict(bright.group_by("band").agg(pl.col("scatter_mag").median()).iter_rows())
    assert found["g"] <= 0.017
    assert found["r"] <= 0.012
    assert found["i"] <= 0.012
