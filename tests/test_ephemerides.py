"""Ephemerides as the NASA Exoplanet Archive writes them, and as it should not."""

import json
import math

import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from starmuster.errors import UsageError
from starmuster.ingest.ephemerides import SCHEMA, read_ephemerides, sift_ephemerides

ARCHIVE = """\
# This file was produced by the NASA Exoplanet Archive
#
# COLUMN pl_name:        Planet Name
#
pl_name,hostname,rastr,ra,decstr,dec,pl_orbper,pl_orbpererr1,pl_orbpererr2,pl_tranmid,\
pl_tranmiderr1,pl_tranmiderr2,pl_tranmid_systemref,pl_ratror,pl_trandep,pl_trandeperr1,pl_ratdor,\
pl_orbeccen,pl_orbeccenlim,pl_orblper,pl_trandur,pl_orbsmax,st_rad,pl_refname
WASP-1 b,WASP-1,00h20m40.07s,5.1669,+31d59m23.8s,31.9899,2.52,1e-6,-3e-6,2453912.514,2e-4,-4e-4,\
BJD-TDB,,1.44,0.02,5.7,0.1,1,90,3.7,0.04,1.5,<a href=x>Someone 2020</a>
"""


def write(tmp_path, text):
    path = tmp_path / "planets.csv"
    path.write_text(text, encoding="utf-8")
    return path


def line(**columns):
    """One planet with the least it needs, and what is given."""
    least = {"pl_name": "X-1 b", "pl_orbper": "2.5", "pl_tranmid": "2455000.5"} | columns
    return ",".join(least) + "\n" + ",".join(least.values()) + "\n"


def one(tmp_path, **columns):
    return read_ephemerides(write(tmp_path, line(**columns))).row(0, named=True)


def test_an_archive_file_is_read_with_units_and_derived_values_said(tmp_path):
    rows = read_ephemerides(write(tmp_path, ARCHIVE))
    assert rows.columns == list(SCHEMA)
    planet = rows.row(0, named=True)
    assert planet["planet_key"] == "wasp1b"
    assert planet["period_err_d"] == 3e-6  # the larger side
    assert planet["mid_err_d"] == 4e-4
    assert planet["depth"] == pytest.approx(0.0144)
    assert planet["radius_ratio"] == pytest.approx(0.12)
    assert planet["radius_ratio_err"] == pytest.approx(0.0002 / 0.24)
    assert planet["eccentricity"] is None  # an upper limit is no measurement
    assert planet["a_over_r"] == 5.7
    assert planet["time_system"] == "BJD_TDB"
    assert planet["source"] == "planets.csv; Someone 2020; radius ratio is the root of the depth"


def test_missing_values_are_null_and_a_missing_time_system_is_said(tmp_path):
    planet = one(tmp_path)
    assert planet["time_system"] == "assumed BJD_TDB"
    assert "no time system given" in planet["source"]
    given = {"planet_name", "planet_key", "period_d", "mid_bjd_tdb", "time_system", "source"}
    assert all(planet[name] is None for name in set(SCHEMA) - given)


def test_a_over_r_follows_from_semi_major_axis_and_radius_only_if_absent(tmp_path):
    planet = one(tmp_path, pl_orbsmax="1", pl_orbsmaxerr1="0.1", st_rad="1", st_raderr1="0.1")
    assert planet["a_over_r"] == pytest.approx(215.03, abs=0.01)
    assert planet["a_over_r_err"] == pytest.approx(planet["a_over_r"] * math.hypot(0.1, 0.1))
    assert "a/R* from semi-major axis" in planet["source"]


def test_sexagesimal_positions_are_never_taken_for_degrees(tmp_path):
    expected = SkyCoord("02h04m10.2s +46d41m16s")
    for columns in (
        {"rastr": "02h04m10.2s", "decstr": "+46d41m16s"},
        {"ra": "02:04:10.2", "dec": "+46:41:16"},
        {"ra": "02 04 10.2", "dec": "46 41 16"},
    ):
        planet = one(tmp_path, **columns)
        assert planet["ra_deg"] == pytest.approx(expected.ra.deg, abs=1e-9)
        assert planet["dec_deg"] == pytest.approx(expected.dec.deg, abs=1e-9)
    with pytest.raises(UsageError, match="sexagesimal"):
        one(tmp_path, rastr="2.07", decstr="46.7")


def test_southern_declinations_below_a_degree_keep_their_sign(tmp_path):
    assert one(tmp_path, ra="10:00:00", dec="-00:30:00")["dec_deg"] == pytest.approx(-0.5)


def test_other_time_systems_are_converted_with_the_light_travel_time(tmp_path):
    ra, dec = "31.0427", "46.6879"
    star = SkyCoord(float(ra), float(dec), unit="deg")
    centre = EarthLocation(0, 0, 0, unit="m")
    seen = Time(2458107.7, format="jd", scale="utc", location=centre)  # at the Earth
    truth = (seen.tdb + seen.light_travel_time(star)).jd
    given = {
        "JD-UTC": seen.jd,
        "HJD-UTC": (seen + seen.light_travel_time(star, "heliocentric")).jd,
        "BJD-UTC": (seen.tdb + seen.light_travel_time(star)).utc.jd,
        "BJD-TDB": truth,
    }
    for system, mid in given.items():
        columns = {"pl_tranmid": f"{mid:.9f}", "pl_tranmid_systemref": system, "ra": ra, "dec": dec}
        planet = one(tmp_path, **columns)
        assert planet["time_system"] == "BJD_TDB"
        assert abs(planet["mid_bjd_tdb"] - truth) * 86400 < 0.001, system
        assert (f"converted from {system}" in planet["source"]) == (system != "BJD-TDB")


@pytest.mark.parametrize("system", ["BJD", "HJD", "TJD-FOO"])
def test_a_time_system_without_its_standard_is_refused(tmp_path, system):
    with pytest.raises(UsageError, match=f"X-1 b: time system '{system}'"):
        one(tmp_path, pl_tsystemref=system)


def test_heliocentric_times_need_a_position(tmp_path):
    with pytest.raises(UsageError, match="needs ra and dec"):
        one(tmp_path, pl_tsystemref="HJD-UTC")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"pl_orbper": ""}, "no period"),
        ({"pl_orbper": "-2"}, "no period"),
        ({"pl_orbper": "nan"}, "no period"),
        ({"pl_tranmid": ""}, "no mid-transit time"),
        ({"pl_tranmid": "58107.2"}, "full Julian date"),
        ({"pl_orbper": "2.5 d"}, "expected a number"),
        ({"pl_orbincl": "190"}, "expected 0 to 180"),
        ({"pl_orbeccen": "1"}, "expected 0 to 0.99"),
        ({"ra": "31.0"}, "only one of ra and dec"),
        ({"ra": "400", "dec": "0"}, "expected 0 to 360"),
    ],
)
def test_unusable_rows_are_refused_by_the_planets_name(tmp_path, columns, reason):
    with pytest.raises(UsageError, match=rf"X-1 b: .*{reason}"):
        one(tmp_path, **columns)


def test_sifting_keeps_the_good_rows_and_says_why_the_others_go(tmp_path):
    text = (
        "pl_name,default_flag,pl_orbper,pl_tranmid\n"
        "A b,1,2.5,2455000\n"
        "A b,0,2.5,2455001\n"
        "a-b,1,2.5,2455002\n"
        "C b,1,300,\n"
    )
    planets, refused = sift_ephemerides(write(tmp_path, text))
    assert planets["planet_name"].to_list() == ["A b"]
    assert refused["planet_name"].to_list() == ["A b", "a-b", "C b"]
    assert [why.split()[0] for why in refused["reason"]] == ["not", "named", "no"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "planet,period\nx,1\n"])
def test_a_file_of_other_columns_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match="no column pl_name"):
        read_ephemerides(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"planets\.csv"):
        read_ephemerides(tmp_path / "planets.csv")
    (tmp_path / "planets.csv").write_bytes(b"\xff\xfe\x00SIMPLE")
    with pytest.raises(UsageError, match="UTF-8"):
        read_ephemerides(tmp_path / "planets.csv")


@pytest.mark.real
def test_the_ephemeris_of_hatp32_is_read(real_data):
    planet = read_ephemerides(real_data / "planets.csv").row(0, named=True)
    assert planet["planet_name"] == "HAT-P-32 b"
    assert planet["time_system"] == "BJD_TDB"
    numbers = ("period_d", "mid_bjd_tdb", "radius_ratio", "a_over_r", "eccentricity", "omega_deg")
    assert np.allclose(
        [planet[name] for name in numbers],
        [2.1500082, 2455867.402743, 0.148862, 5.344, 0.159, 50],
        rtol=1e-12,
    )


CLOCK = {
    "X-1b": {
        "star": "X-1",
        "ra_j2000": "02:04:10.2",
        "dec_j2000": "+46:41:16.2",
        "ephem_mid_time": 2455867.4,
        "ephem_mid_time_e1": 1e-4,
        "ephem_mid_time_e2": 2e-4,
        "ephem_mid_time_format": "BJD_TDB",
        "ephem_period": 2.15,
        "ephem_period_e1": 1e-7,
        "rp_over_rs": 0.15,
        "rp_over_rs_e1": 0.001,
        "sma_over_rs": 5.3,
        "inclination": 89.0,
        "eccentricity": None,
        "duration_hours": 3.1,
    }
}
FOR_OBSERVERS = [
    {"name": "X-1b", "t0_bjd_tdb": 2455867.4, "t0_unc": 1e-4, "period_days": 2.15}
    | {"depth_r_mmag": 25.0, "ra_j2000": "02:04:10.2", "dec_j2000": "+46:41:16.2"}
]


def test_both_documents_of_exoclock_are_read(tmp_path):
    planet = read_ephemerides(write(tmp_path, json.dumps(CLOCK))).row(0, named=True)
    assert (planet["planet_key"], planet["host_name"]) == ("x1b", "X-1")
    assert planet["ra_deg"] == pytest.approx(31.0425)
    assert planet["dec_deg"] == pytest.approx(46.68783, abs=1e-5)
    assert (planet["mid_bjd_tdb"], planet["mid_err_d"]) == (2455867.4, 2e-4)
    assert (planet["period_d"], planet["period_err_d"]) == (2.15, 1e-7)
    assert (planet["radius_ratio"], planet["a_over_r"]) == (0.15, 5.3)
    assert (planet["eccentricity"], planet["time_system"]) == (None, "BJD_TDB")
    assert planet["duration_h"] == 3.1
    planet = read_ephemerides(write(tmp_path, json.dumps(FOR_OBSERVERS))).row(0, named=True)
    assert (planet["mid_bjd_tdb"], planet["time_system"]) == (2455867.4, "BJD_TDB")
    assert planet["depth"] == pytest.approx(1 - 10 ** (-0.4 * 0.025))
    assert planet["radius_ratio"] == pytest.approx(math.sqrt(planet["depth"]))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '[{"name": "X-1b"}]'])
def test_a_document_without_planets_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match=r"planets\.csv"):
        read_ephemerides(write(tmp_path, text))
