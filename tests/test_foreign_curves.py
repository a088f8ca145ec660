"""Light curves of other programs: each read as it is meant, or refused with the line."""

import json

import numpy as np
import polars as pl
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from starmuster.cli import main
from starmuster.errors import UsageError
from starmuster.ingest.foreign_curves import read_foreign_curve, stated_system
from starmuster.ingest.time_systems import parse_system, to_bjd_tdb
from starmuster.ingest.transit_times import read_transit_times

ASTROIMAGEJ = (
    "Label\tslice\tJD_UTC\tBJD_TDB\tAIRMASS\trel_flux_T1\trel_flux_err_T1\tX(FITS)_T1\tY(FITS)_T1\n"
    "b.fits\t2\t2457000.51\t2457000.514\t1.2\t0.51\t0.002\t101.5\t51.5\n"
    "a.fits\t1\t2457000.50\t2457000.504\t1.1\t0.50\t0.002\t100.5\t50.5\n"
    "c.fits\t3\t2457000.52\t2457000.524\t1.3\tNaN\t0.002\t102.5\t52.5\n"
)
AAVSO = (
    "#TYPE=EXOPLANET\n#OBSCODE=ABC\n#DELIM=,\n#DATE_TYPE=BJD_TDB\n#EXOPLANET_NAME=X-1 b\n"
    "#EXPOSURE_TIME=30\n#FILTER=SR\n#DETREND_PARAMETERS=AIRMASS\n#MEASUREMENT_TYPE=Rnflux\n"
    "#DATE,DIFF,ERR,DETREND_1\n2457000.5,1.01,0.002,1.5\n2457000.6,0.99,0.002,na\n"
)
LEMON = "# made by LEMON\n#\n2457000.5\t-0.95\t100\n2457000.6\t-0.94\t0\n"


def write(tmp_path, text, name="curve.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_astroimagej_table_is_read_by_its_names(tmp_path):
    curve = read_foreign_curve(write(tmp_path, ASTROIMAGEJ))
    assert (curve.file_format, curve.time_system, curve.n_left_out) == ("astroimagej", "BJD_TDB", 1)
    assert curve.points["given_time"].to_list() == [2457000.514, 2457000.504]
    assert curve.points["x_pix"].to_list() == [100.5, 99.5]  # ours begin at 0
    assert curve.points["airmass"].to_list() == [1.2, 1.1]


def test_exotic_says_no_time_system_and_none_is_guessed(tmp_path):
    text = json.dumps({"name": "X-1 b", "time": [2457000.5, 2457000.6], "flux": [1.0, None]})
    curve = read_foreign_curve(write(tmp_path, text))
    assert (curve.file_format, curve.target_name, curve.n_left_out) == ("exotic", "X-1 b", 1)
    with pytest.raises(UsageError, match="--time-system"):
        stated_system(curve, None)
    with pytest.raises(UsageError, match="'BJD'"):
        stated_system(curve, "BJD")
    assert stated_system(curve, "bjd-tdb") == "BJD_TDB"


def test_lemons_signal_to_noise_becomes_an_error_in_magnitudes(tmp_path):
    curve = read_foreign_curve(write(tmp_path, LEMON))
    assert curve.is_magnitude
    assert curve.points["value_err"].to_list() == [pytest.approx(0.010857, abs=1e-6), None]


def test_a_report_for_the_aavso_tells_all_by_itself(tmp_path):
    curve = read_foreign_curve(write(tmp_path, AAVSO))
    assert (curve.time_system, curve.target_name, curve.band) == ("BJD_TDB", "X-1 b", "SR")
    assert (curve.observer, curve.exposure_s) == ("ABC", 30.0)
    assert curve.points["airmass"].to_list() == [1.5, None]
    with pytest.raises(UsageError, match="says its times are BJD_TDB"):
        stated_system(curve, "JD_UTC")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "no known|format None"),
        ("2457000.5 1.0 0.01\n2457000.6 x 0.01\n", "line 2: 'x' is no number"),
        ("2457000.5 1.0 0.01\n2457000.6\n", "line 2 has 1 columns"),
        ("57000.5 1.0 0.01\n", "full Julian dates"),
        ("2457000.5 nan 0.01\n", "no point with a time"),
        ('{"time": [1], "flux": [1, 2]}', "lists of one length"),
        ('{"time": [2457000.5], "flux": ["a"]}', "item 1: 'a' is no number"),
        ('{"time": ', "no JSON"),
        ("Label\trel_flux_T1\nx\t1\n", "no column rel_flux_T1 or none of"),
        (ASTROIMAGEJ.replace("\t1.2\t0.51", ""), "line 2 has 7 columns of 9"),
        (AAVSO.replace("Rnflux", "Smag"), "MEASUREMENT_TYPE is 'smag'"),
    ],
)
def test_a_malformed_file_is_refused_with_what_was_seen(tmp_path, text, seen):
    with pytest.raises(UsageError, match=seen):
        read_foreign_curve(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "x.fits"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UsageError, match="expected text"):
        read_foreign_curve(path)
    with pytest.raises(UsageError, match="expected text"):
        read_foreign_curve(tmp_path / "none.txt")


@pytest.mark.parametrize("text", ["HJD", "BJD", "JD", "UTC", "MJD_UTC", "TDB_BJD"])
def test_half_a_time_system_is_none(text):
    assert parse_system(text) is None


def test_many_times_are_converted_like_astropy_converts_each():
    star = SkyCoord(10.0, -70.0, unit="deg")
    seen = Time(
        2457000.3 + np.arange(0, 400, 37.1),
        format="jd",
        scale="utc",
        location=EarthLocation(0, 0, 0, unit="m"),
    )
    truth = (seen.tdb + seen.light_travel_time(star)).jd
    found = to_bjd_tdb(seen.jd, "JD_UTC", 10.0, -70.0)
    assert np.abs(found - truth).max() * 86400 < 1e-3


# --- through the command line


@pytest.fixture
def run(warehouse, capsys, monkeypatch):
    """Run a command on an empty warehouse; returns its document, or its message if it failed."""
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))

    def command(*words, status=0):
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == status
        document = json.loads(capsys.readouterr().out)
        return document["message"] if status else document

    command.warehouse = warehouse
    return command


def test_a_foreign_curve_stands_in_the_warehouse_once_and_in_order(run, tmp_path):
    path = write(tmp_path, ASTROIMAGEJ)
    first = run("import", "light-curve", path, "--target", "X-1 b", "--band", "sdss_g")
    assert (first["n_point"], first["is_new"], first["band"]) == (2, True, "g")
    again = run("import", "light-curve", path, "--target", "X-1 b", "--band", "sdss_g")
    assert (again["is_new"], again["foreign_curve_id"]) == (False, first["foreign_curve_id"])
    points = run.warehouse.sql("from foreign_point")
    assert points["mid_bjd_tdb"].to_list() == [2457000.504, 2457000.514]
    assert points["relative_flux"].median() == pytest.approx(1.0)
    assert points["relative_flux_err"][0] == pytest.approx(0.002 / 0.505)
    assert run.warehouse.sql("from foreign_curve")["file_format"].to_list() == ["astroimagej"]


def test_the_same_file_told_of_otherwise_replaces_what_was_said(run, tmp_path):
    path = write(tmp_path, "2457000.5 1.0\n2457000.6 1.1\n")
    words = ("import", "light-curve", path, "--target", "X-1")
    run(*words, "--time-system", "BJD_TDB")
    run(*words, "--time-system", "JD_UTC", "--position", "02:04:10.2 +46:41:16")
    (curve,) = run.warehouse.sql("from foreign_curve").to_dicts()
    assert curve["time_system"] == "JD_UTC"
    assert (curve["ra_deg"], curve["dec_deg"]) == (
        pytest.approx(31.0425, abs=1e-6),  # hours, not degrees
        pytest.approx(46.687778, abs=1e-6),
    )
    points = run.warehouse.sql("from foreign_point")
    assert points.height == 2
    assert (points["mid_bjd_tdb"] - points["given_time"]).abs().max() * 1440 > 0.5


def test_magnitudes_taken_for_fluxes_are_refused(run, tmp_path):
    path = write(tmp_path, "2457000.5 -1.0\n2457000.6 -1.1\n2457000.7 -1.2\n")
    words = ("import", "light-curve", path, "--target", "X-1", "--time-system", "BJD_TDB")
    assert "--magnitudes" in run(*words, status=2)
    run(*words, "--magnitudes")
    flux = run.warehouse.sql("from foreign_point")["relative_flux"]
    assert flux[2] / flux[0] == pytest.approx(10**0.08)


def test_times_of_the_ground_need_a_place(run, tmp_path):
    path = write(tmp_path, "2457000.5 1.0\n")
    words = ("import", "light-curve", path, "--target", "X-1", "--time-system", "HJD_UTC")
    assert "needs ra and dec" in run(*words, status=2)
    assert "RA and Dec expected" in run(*words, "--position", "somewhere", status=2)


# --- tables of transit times


def test_a_table_of_times_is_read_whatever_its_delimiter(tmp_path):
    for mark in ("\t", ",", ";", " "):
        text = f"Tc (BJD_TDB){mark}err{mark}Epoch\n2457000.5{mark}0.001{mark}-3\n".replace(
            " (", "("
        )
        (row,) = read_transit_times(write(tmp_path, text)).to_dicts()
        assert row == {
            "line_number": 2,
            "time": 2457000.5,
            "err": 0.001,
            "epoch": -3,
            "reference": None,
        }


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no column of times"),
        ("time,error\n", "no times below"),
        ("time,error\n2457000.5,x\n", "line 2: 'x' is no number"),
        ("time,error\n57000.5,0.1\n", "full Julian date"),
        ("time,error\n2457000.5,-0.1\n", "expected days"),
    ],
)
def test_a_table_that_is_none_of_times_is_refused(tmp_path, text, seen):
    with pytest.raises(UsageError, match=seen):
        read_transit_times(write(tmp_path, text))


def test_points_come_as_a_frame_of_one_shape(tmp_path):
    for text in (ASTROIMAGEJ, LEMON, AAVSO):
        points = read_foreign_curve(write(tmp_path, text)).points
        assert set(points.dtypes) == {pl.Float64}
        assert points.height > 0
