"""How much of a transit a night covers, and what the sky will be like."""

import json
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from starmuster.analysis.coverage import exposed_spans, overlap_d, transit_coverage
from starmuster.analysis.orbits import Ephemeris
from starmuster.analysis.visibility import Place, coming_transits
from starmuster.cli import main
from starmuster.errors import NotFoundError
from starmuster.transforms.vantage import vantage

RA_DEG, DEC_DEG = 31.0427, 46.6879
SITE = {"latitude_deg": 31.68, "longitude_deg": -110.88, "elevation_m": 1268.0}
MID = 2458107.70  # BJD_TDB of a transit of two hours
PLANET = {
    "planet_name": "X-1 b",
    "planet_key": "x1b",
    "host_name": "X-1",
    "ra_deg": RA_DEG,
    "dec_deg": DEC_DEG,
    "period_d": 2.0,
    "mid_bjd_tdb": MID - 200.0,
    "mid_err_d": 1e-3,
    "period_err_d": 1e-5,
    "duration_h": 2.0,
    "imported_utc": datetime(2024, 1, 1),
}


@pytest.fixture
def observe(database, fill):
    """Put light frames of a planet's field into the database, in hours from its mid-transit."""

    def put(table, *rows):
        database.register("given", fill(table, list(rows)))
        database.execute(f"insert into {table} by name from given")

    put("site", {"site_id": 1} | SITE)
    put("camera", {"camera_id": 1})
    put("field", {"field_id": 1, "field_name": "X-1", "ra_deg": RA_DEG, "dec_deg": DEC_DEG})
    for number, shift in enumerate((-0.2, 0.2), 1):
        place = {"ra_deg": RA_DEG + shift, "dec_deg": DEC_DEG + shift}
        put("source", {"source_id": number, "field_id": 1} | place)
    put("planet", {"planet_id": 1} | PLANET)

    def frames(hours, *, planet=None):
        centre = Time(MID, format="jd", scale="tdb")
        mid_utc = centre.utc.to_datetime() - timedelta(seconds=190)  # light travels that long
        times = [mid_utc + timedelta(hours=float(h)) for h in hours]
        ids = range(1, len(times) + 1)
        frame = {"frame_type": "light", "camera_id": 1, "site_id": 1, "exposure_s": 60.0}
        frame |= {"band": "r", "night": date(2017, 12, 19)}
        put("frame", *(frame | {"frame_id": i, "content_hash": str(i), "mid_utc": t}
                       for i, t in zip(ids, times, strict=True)))  # fmt: skip
        put("field_frame", *({"frame_id": i, "field_id": 1} for i in ids))
        placed = vantage(times, frame_id=pl.Series(ids, dtype=pl.Int32), **SITE)
        put("vantage", *placed.to_dicts())
        return transit_coverage(database, planet)

    frames.put = put
    return frames


def steps(low, high, minutes=3.0):
    return np.arange(low, high, minutes / 60)


def test_a_night_around_a_transit_covers_all_of_it(observe):
    (row,) = observe(steps(-2.5, 3.0)).to_dicts()
    assert row["covered"] == pytest.approx(1.0)
    assert row["before_min"] == pytest.approx(90, abs=2)
    assert row["after_min"] == pytest.approx(120, abs=4)
    assert (row["epoch"], row["verdict"]) == (100, "whole")
    assert row["mid_err_min"] == pytest.approx(1440 * np.hypot(1e-3, 100e-5))
    assert row["n_in_transit"] == pytest.approx(40, abs=1)


@pytest.mark.parametrize(
    ("hours", "covered", "verdict"),
    [
        (steps(0, 3), 0.5, "partial: without first contact"),
        (steps(-3, 0), 0.5, "partial: without fourth contact"),
        (steps(-0.5, 0.5), 0.5, "partial: without first contact and fourth contact"),
        (np.concatenate([steps(-2, -0.5), steps(0.5, 2)]), 0.5, "partial: with a gap"),
        (np.concatenate([steps(-3, -1.1), steps(1.1, 3)]), 0.0, "missed: it falls into a gap"),
        (steps(-1.1, 1.15), 1.0, "whole, little baseline before and after"),
    ],
)
def test_what_is_lacking_is_said(observe, hours, covered, verdict):
    (row,) = observe(hours).to_dicts()
    assert row["covered"] == pytest.approx(covered, abs=0.03)
    assert row["verdict"] == verdict


def test_frames_out_of_order_and_equal_times_count_as_what_they_are(observe):
    hours = np.concatenate([steps(-2, 2), steps(-2, 2)])
    rng = np.random.default_rng(1)
    (row,) = observe(rng.permutation(hours)).to_dicts()
    assert row["covered"] == pytest.approx(1.0)
    assert row["verdict"] == "whole"


def test_nights_without_a_transit_and_planets_of_other_fields_are_not_listed(observe):
    far = PLANET | {"planet_id": 2, "planet_key": "y1b", "planet_name": "Y-1 b", "dec_deg": -20.0}
    observe.put("planet", far)
    assert observe(steps(4, 8)).is_empty()


def test_two_planets_of_one_star_are_both_listed(observe):
    second = {"planet_id": 2, "planet_key": "x1c", "planet_name": "X-1 c", "period_d": 5.0}
    observe.put("planet", PLANET | second | {"mid_bjd_tdb": MID + 0.03 - 50, "mid_err_d": None})
    rows = observe(steps(-3, 3))
    assert rows["planet_name"].to_list() == ["X-1 b", "X-1 c"]
    assert rows["mid_err_min"].to_list()[1] is None


def test_a_planet_that_is_not_known_is_told(observe):
    with pytest.raises(NotFoundError, match="no ephemeris"):
        observe(steps(-1, 1), planet="Z-9 b")


def test_single_frames_cover_their_exposure():
    spans = exposed_spans(np.array([1.0, 1.01, 1.02, 2.0, 2.0]), 864.0)
    assert np.allclose(spans, [[0.995, 1.025], [1.995, 2.005]])
    assert overlap_d(spans, 1.0, 2.0) == pytest.approx(0.03)


# --- transits to come


def test_altitudes_are_those_of_astropy_and_the_moon_is_full_when_it_was():
    planet = Ephemeris("X-1 b", 2.0, MID, duration_h=2.0)
    place = Place(SITE["latitude_deg"], SITE["longitude_deg"], SITE["elevation_m"])
    rows = coming_transits(
        planet, RA_DEG, DEC_DEG, place, start_utc=datetime(2017, 12, 19), days=15
    )
    assert rows.height == 7
    site = EarthLocation.from_geodetic(SITE["longitude_deg"], SITE["latitude_deg"], 1268.0)
    star = SkyCoord(RA_DEG, DEC_DEG, unit="deg")
    with iers.conf.set_temp("auto_download", False):
        for row in rows.iter_rows(named=True):
            time = Time(row["mid_utc"], scale="utc", location=site)
            bjd = (time.tdb + time.light_travel_time(star)).jd
            assert abs(bjd - row["mid_bjd_tdb"]) * 86400 < 1e-3
            altitude = star.transform_to(AltAz(obstime=time, location=site)).alt.deg
            assert row["altitude_mid_deg"] == pytest.approx(altitude, abs=1e-4)
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    assert first["moon_lit"] < 0.06  # new on December 18, full on January 2
    assert last["moon_lit"] > 0.98
    assert first["sun_altitude_deg"] < -18
    assert first["verdict"] == "whole"


def test_a_star_that_never_rises_is_never_observable():
    planet = Ephemeris("X-1 b", 1.0, MID, duration_h=2.0)
    rows = coming_transits(
        planet, 0.0, -80.0, Place(50.0, 7.0), start_utc=datetime(2017, 12, 19), days=5
    )
    assert rows["observable"].max() == 0
    assert set(rows["verdict"]) <= {"too low", "by day", "low or by day"}


def test_the_command_shows_what_can_be_observed_and_asks_for_a_site(
    warehouse, tmp_path, capsys, monkeypatch
):
    warehouse.close()
    monkeypatch.setenv("STARMUSTER_WAREHOUSE", str(warehouse.folder))
    path = tmp_path / "p.csv"
    path.write_text(
        "pl_name,ra,dec,pl_orbper,pl_tranmid,pl_trandur\n"
        f"X-1 b,02:04:10.2,+46:41:16,2.5,{MID},2.0\n"
    )
    assert main(["import", "ephemerides", str(path)]) == 0
    words = ["transits", "next", "X-1 b", "--start", "2017-12-19", "--days", "15"]
    assert main(words) == 2
    assert "--site" in capsys.readouterr().err
    settings = warehouse.folder / "starmuster.toml"
    site = "\n[site]\nlatitude_deg = 31.68\nlongitude_deg = -110.88\n"
    settings.write_text(settings.read_text() + site)
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert 0 < len(shown) < 6
    assert min(row["observable"] for row in shown) > 0
    assert main([*words, "--all", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6
    assert main([*words[:4], "tomorrow"]) == 2
    assert main(["transits", "coverage", "--json"]) == 0
