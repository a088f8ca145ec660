"""Times and zenith against erfa called directly, astropy's light travel time and AltAz."""

import json
import math
from datetime import UTC, datetime, timedelta

import astropy.units as u
import erfa
import numpy as np
import polars as pl
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers

from starmuster.errors import UsageError
from starmuster.transforms.vantage import vantage

LATITUDE_DEG, LONGITUDE_DEG, ELEVATION_M = 31.68, -110.88, 1268.0
RA_DEG, DEC_DEG = 31.0427, 46.6879
# Through a year, whole nights, microseconds included.
TIMES = [
    datetime(2017, 1, 3, 1, 33, 43, 317_123) + timedelta(days=11.37 * i, hours=i) for i in range(32)
]
SITE = {"latitude_deg": LATITUDE_DEG, "longitude_deg": LONGITUDE_DEG, "elevation_m": ELEVATION_M}


def star_vector() -> np.ndarray:
    ra, dec = math.radians(RA_DEG), math.radians(DEC_DEG)
    return np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])


def bjd_minus_utc_s(rows: pl.DataFrame) -> np.ndarray:
    """BJD_TDB less JD_UTC as the SQL macro makes it."""
    barycentric = rows.select(f"barycentric_{axis}_ls" for axis in "xyz").to_numpy()
    return rows["tdb_minus_utc_s"].to_numpy() + barycentric @ star_vector()


def erfa_bjd_minus_utc_s(time: datetime) -> float:
    """The same from erfa's own routines, without astropy: a separate path."""
    second = time.second + time.microsecond / 1e6
    utc = erfa.dtf2d("UTC", time.year, time.month, time.day, time.hour, time.minute, second)
    tai = erfa.utctai(*utc)
    tt = erfa.taitt(*tai)
    # TDB - TT of the geocentre, and UT1 taken as UTC: within a second, 2 microseconds of light.
    tdb_minus_tt_s = erfa.dtdb(*tt, (utc[1] + 0.5) % 1, 0.0, 0.0, 0.0)
    _, earth_au = erfa.epv00(*tt)
    site_itrs_m = erfa.gd2gc(
        1, math.radians(LONGITUDE_DEG), math.radians(LATITUDE_DEG), ELEVATION_M
    )
    site_gcrs_m = erfa.c2t06a(*tt, *utc, 0.0, 0.0).T @ site_itrs_m
    observer_ls = (earth_au["p"] * erfa.DAU + site_gcrs_m) / erfa.CMPS
    tt_minus_utc_s = ((tt[0] - utc[0]) + (tt[1] - utc[1])) * 86400
    return tt_minus_utc_s + float(tdb_minus_tt_s) + float(observer_ls @ star_vector())


def test_barycentric_time_agrees_with_erfa_within_a_tenth_of_a_millisecond():
    rows = vantage(TIMES, **SITE)
    expected = [erfa_bjd_minus_utc_s(time) for time in TIMES]
    assert np.abs(bjd_minus_utc_s(rows) - expected).max() < 1e-4


def test_light_travel_time_agrees_with_astropy():
    rows = vantage(TIMES, **SITE)
    site = EarthLocation.from_geodetic(
        LONGITUDE_DEG * u.deg, LATITUDE_DEG * u.deg, ELEVATION_M * u.m
    )
    star = SkyCoord(RA_DEG, DEC_DEG, unit="deg")
    with iers.conf.set_temp("auto_download", False):
        time = Time(TIMES, scale="utc", location=site)
        for centre, name in (("barycentric", "barycentric"), ("heliocentric", "heliocentric")):
            expected = time.light_travel_time(star, centre).to_value(u.s)
            found = rows.select(f"{name}_{axis}_ls" for axis in "xyz").to_numpy() @ star_vector()
            assert np.abs(found - expected).max() < 1e-4


def test_zenith_gives_the_altitude_of_altaz_within_a_hundredth_of_a_degree():
    rows = vantage(TIMES, **SITE)
    zenith = rows.select("zenith_x", "zenith_y", "zenith_z").to_numpy()
    assert np.allclose(np.linalg.norm(zenith, axis=1), 1, atol=1e-12)
    found_deg = np.degrees(np.arcsin(zenith @ star_vector()))
    site = EarthLocation.from_geodetic(
        LONGITUDE_DEG * u.deg, LATITUDE_DEG * u.deg, ELEVATION_M * u.m
    )
    with iers.conf.set_temp("auto_download", False):
        frame = AltAz(obstime=Time(TIMES, scale="utc"), location=site)
        expected = SkyCoord(RA_DEG, DEC_DEG, unit="deg").transform_to(frame).alt.to_value(u.deg)
    assert np.abs(found_deg - expected).max() < 0.01


def test_without_a_site_times_are_geocentric_and_there_is_no_zenith():
    geocentric = vantage(TIMES, latitude_deg=None, longitude_deg=None)
    assert geocentric["is_geocentric"].all()
    assert geocentric["zenith_x"].null_count() == len(TIMES)
    assert geocentric["zenith_x"].dtype == pl.Float64
    shift_s = np.abs(bjd_minus_utc_s(geocentric) - bjd_minus_utc_s(vantage(TIMES, **SITE)))
    assert 1e-3 < shift_s.max() < 0.0213  # the Earth's radius over the speed of light


def test_missing_elevation_is_sea_level():
    low = vantage(TIMES, latitude_deg=LATITUDE_DEG, longitude_deg=LONGITUDE_DEG)
    zero = vantage(TIMES, latitude_deg=LATITUDE_DEG, longitude_deg=LONGITUDE_DEG, elevation_m=0)
    assert low.equals(zero)


def test_dates_beyond_the_tables_of_the_earths_rotation_are_placed_without_a_warning():
    rows = vantage([datetime(1965, 1, 1), datetime(2045, 6, 1)], **SITE)
    assert rows.height == 2
    assert np.isfinite(rows.select(pl.exclude("is_geocentric")).to_numpy()).all()


def test_time_zones_are_converted_and_frames_keep_their_number():
    aware = pl.Series([TIMES[0].replace(tzinfo=UTC)]).dt.convert_time_zone("America/Phoenix")
    rows = vantage(aware, frame_id=pl.Series("frame_id", [7]), **SITE)
    assert rows["frame_id"].to_list() == [7]
    assert rows.drop("frame_id").equals(vantage(TIMES[:1], **SITE))


def test_no_frames_give_no_rows():
    assert vantage(pl.Series([], dtype=pl.Datetime("us")), **SITE).height == 0


def test_a_frame_without_a_time_is_refused():
    with pytest.raises(UsageError, match="1 of 2 frames have no time"):
        vantage(pl.Series([TIMES[0], None]), **SITE)


@pytest.mark.parametrize(("latitude", "longitude"), [(None, 3.0), (91.0, 3.0), (3.0, math.nan)])
def test_absurd_sites_are_refused(latitude, longitude):
    with pytest.raises(UsageError, match="site"):
        vantage(TIMES, latitude_deg=latitude, longitude_deg=longitude)


@pytest.mark.real
def test_the_140_times_exotic_stored_of_hatp32_are_met_within_5_ms(real_data):
    path = real_data / "lightcurves" / "EXOTIC_sampledata_lightcurve.json"
    stored = np.array(json.loads(path.read_text())["time"])
    starts = [fits.getheader(path)["UT-OBS"][:23] for path in (real_data / "hatp32").iterdir()]
    mids = [datetime.fromisoformat(start) + timedelta(seconds=30) for start in starts]
    rows = vantage(mids, latitude_deg=31.68, longitude_deg=-110.88)
    bjd = Time(mids, scale="utc").jd + bjd_minus_utc_s(rows) / 86400
    off_s = np.abs(bjd - stored[:, None]).min(axis=1) * 86400
    assert len(stored) == 140
    assert off_s.max() < 0.005
