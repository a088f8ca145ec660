"""HAT-P-32: a transit without any calibration frame, in a drifting field."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from starmuster.warehouse.store import Warehouse

pytestmark = pytest.mark.real


def test_the_times_of_hatp32_are_those_of_its_utc_cards(reduced):
    frames = reduced.sql(
        "select mid_utc, exposure_s, night, header::varchar as header from frame "
        "where target_key = 'hatp32'"
    )
    assert frames.height == 142
    assert set(map(str, frames["night"])) == {"2017-12-19"}
    for mid_utc, exposure_s, _, header in frames.iter_rows():
        cards = {keyword: value for keyword, value, *_ in json.loads(header)}
        start = datetime.fromisoformat(cards["UT-OBS"]).replace(tzinfo=None)
        expected = start + timedelta(seconds=exposure_s / 2)
        assert abs(mid_utc - expected) < timedelta(milliseconds=1)
        # the trap: the local date is the day before
        assert cards["DATE-OBS"][:10] <= "2017-12-20" == cards["UT-OBS"][:10]


def test_hatp32_is_placed_on_earth_and_sky_as_its_observatory_knows(reduced, solver):
    site = reduced.sql(
        "select distinct longitude_deg, latitude_deg, elevation_m from site "
        "join frame using (site_id) where target_key = 'hatp32'"
    )
    assert site.rows() == [(pytest.approx(-110.88), pytest.approx(31.68), None)]
    scale = reduced.sql(
        "select wcs.scale_arcsec_per_pix as scale from wcs join frame using (frame_id) "
        "where target_key = 'hatp32'"
    )["scale"]
    assert len(scale) >= 140
    assert scale.is_between(5.16, 5.21).all()
    residual = reduced.sql(
        "select median_residual_pix from wcs_quality join frame using (frame_id) "
        "where target_key = 'hatp32'"
    )["median_residual_pix"]
    assert len(residual) == 142
    assert residual.max() < 0.25  # against the common solution, and Tycho-2 on the reference frame
    registered = reduced.sql(
        "select rms_pix, x_shift_pix from registration join frame using (frame_id) "
        "where target_key = 'hatp32'"
    )
    rms_arcsec = reduced.sql(
        "select rms_arcsec from wcs join field on reference_frame_id = frame_id "
        "where field_name = 'HATP-32' and method = 'solve-field'"
    )["rms_arcsec"]
    assert rms_arcsec.max() < 2.6  # half a pixel: many of Tycho's stars are saturated here
    assert registered["rms_pix"].max() < 0.1  # of a FWHM of two pixels
    assert registered["x_shift_pix"].max() - registered["x_shift_pix"].min() > 250


def test_barycentric_times_meet_those_exotic_stored(reduced, real_data, solver):
    text = (real_data / "lightcurves" / "EXOTIC_sampledata_lightcurve.json").read_text()
    theirs = np.array(json.loads(text)["time"])
    points = reduced.command("light-curve", "31.0427 +46.6879")
    ours = np.array([point["mid_bjd_tdb"] for point in points])
    nearest = np.abs(ours[:, None] - theirs).min(axis=0)
    assert len(theirs) == 140
    assert nearest.max() * 86400 < 0.005


@pytest.fixture(scope="module")
def transit(reduced, solver) -> dict[str, Any]:
    return reduced.command("report", "transit", "HAT-P-32 b")


def test_the_transit_of_hatp32_comes_out_at_its_time_and_depth(transit):
    assert transit["verdict"] == "transit"
    assert transit["residual_scatter"] <= 0.0047
    assert abs(transit["o_minus_c_min"]) <= 2
    assert transit["mid_bjd_tdb"] == pytest.approx(2458107.71129, abs=2 / 1440)
    assert transit["radius_ratio"] == pytest.approx(0.1489, abs=0.008)
    assert transit["radius_ratio_low"] < 0.147
    assert transit["radius_ratio_high"] > 0.155
    assert transit["n_points"] + transit["n_outliers"] >= 140
    assert transit["n_outliers"] <= 0.05 * transit["n_points"]
    # the errors must neither belie the known values nor say nothing
    assert abs(transit["o_minus_c_min"]) < 3 * 1440 * transit["mid_bjd_tdb_err"] < 9
    assert 0.001 < transit["radius_ratio_err"] < 0.01


def test_the_report_is_one_page_that_loads_nothing_and_the_points_as_csv(transit, reduced):
    page, points, pdf = map(Path, transit["files"])
    assert pdf.read_bytes()[:5] == b"%PDF-"
    stored = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert stored["mid_bjd_tdb"] == transit["mid_bjd_tdb"]
    html = page.read_text(encoding="utf-8")
    assert all(part not in html for part in ("<script src", "<link ", 'src="http', "@import"))
    rows = pl.read_csv(points, comment_prefix="#")
    assert rows.height == transit["n_points"] + transit["n_outliers"]
    again = reduced.command("report", "transit", "HAT-P-32 b")
    assert again == transit
    assert reduced.sql("from transit_fit").height == 1


def test_a_field_without_a_sky_solution_gives_its_transit_once_the_star_is_named(
    real_data, tmp_path, command
):
    warehouse = tmp_path / "warehouse"
    command(warehouse, "init")
    settings = warehouse / "starmuster.toml"
    settings.write_text(settings.read_text() + "\n[registration]\nsolve = false\n")
    frames = sorted((real_data / "hatp32").glob("*.FITS"))[::3]
    done = command(warehouse, "ingest", *map(str, frames), "--jobs", "2")
    assert done["frames_measured"] == len(frames)
    (field,) = command(warehouse, "fields")
    assert field["n_on_sky"] == 0
    command(warehouse, "import", "ephemerides", str(real_data / "planets.csv"))
    refused = command(warehouse, "report", "transit", "HAT-P-32 b", status=2)
    assert "identify" in refused["message"]
    where = ("--field", field["name"], "--xy", "423,286", "--frame", frames[0].name)
    tied = command(warehouse, "identify", "HAT-P-32 b", *where)
    assert tied["separation_pix"] < 1.5  # the README's position is good to a pixel
    found = command(warehouse, "report", "transit", "HAT-P-32 b")
    assert found["verdict"] == "transit"
    assert abs(found["o_minus_c_min"]) < 3 * 1440 * found["mid_bjd_tdb_err"] < 15
    assert found["radius_ratio"] == pytest.approx(0.1489, abs=3 * found["radius_ratio_err"])
    source = Warehouse(warehouse).sql("select distinct position_source from light_curve")
    assert "host" in source["position_source"].to_list()
