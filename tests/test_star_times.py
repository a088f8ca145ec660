"""JD, HJD and BJD of a star as the warehouse tells them, against erfa called directly."""

import math
from datetime import datetime, timedelta

import erfa
import numpy as np
import polars as pl
import pytest

from starmuster.transforms.vantage import vantage

SITE = {"latitude_deg": 31.68, "longitude_deg": -110.88, "elevation_m": 1268.0}
STARS = {1: (31.0427, 46.6879), 2: (270.3, -66.55), 3: (0.001, 0.0)}
# A year and a half around the leap second at the end of 2016, microseconds included.
TIMES = [
    datetime(2016, 7, 2, 1, 33, 43, 317_123) + timedelta(days=18.37 * i, hours=i) for i in range(30)
]
MS_D = 1e-3 / 86400


def star_vector(source_id: int) -> np.ndarray:
    ra, dec = map(math.radians, STARS[source_id])
    return np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])


def expected_d(time: datetime, source_id: int) -> tuple[float, float, float]:
    """JD_UTC, HJD_UTC and BJD_TDB by erfa's astrometry for an observer on the ground."""
    second = time.second + time.microsecond / 1e6
    jd1, jd2 = erfa.dtf2d("UTC", time.year, time.month, time.day, time.hour, time.minute, second)
    longitude, latitude = math.radians(SITE["longitude_deg"]), math.radians(SITE["latitude_deg"])
    # UT1 is taken as UTC: within a second, 2 microseconds of light.
    seen, _ = erfa.apco13(
        jd1, jd2, 0.0, longitude, latitude, SITE["elevation_m"], 0.0, 0.0, 0.0, 0.0, 0.5, 0.55
    )
    au_s = erfa.DAU / erfa.CMPS
    star = star_vector(source_id)
    barycentric_s = float(seen["eb"] @ star) * au_s
    heliocentric_s = float(seen["eh"] @ star) * float(seen["em"]) * au_s
    tai1, tai2 = erfa.utctai(jd1, jd2)
    tt1, tt2 = erfa.taitt(tai1, tai2)
    radius_m = erfa.gd2gc(1, longitude, latitude, SITE["elevation_m"])
    tdb_minus_tt_s = erfa.dtdb(
        tt1,
        tt2,
        (jd2 + 0.5) % 1,
        longitude,
        math.hypot(radius_m[0], radius_m[1]) / 1000,
        radius_m[2] / 1000,
    )
    tdb_minus_utc_s = ((tt1 - jd1) + (tt2 - jd2)) * 86400 + float(tdb_minus_tt_s)
    jd_utc = jd1 + jd2
    return (
        jd_utc,
        jd_utc + heliocentric_s / 86400,
        jd_utc + (tdb_minus_utc_s + barycentric_s) / 86400,
    )


@pytest.fixture
def rows(database, fill) -> pl.DataFrame:
    """The light curves of three stars all over the sky, as the view tells them."""

    def put(table, *given):
        database.register("given", fill(table, list(given)))
        database.execute(f"insert into {table} by name from given")

    ids = range(1, len(TIMES) + 1)
    put("site", {"site_id": 1} | SITE)
    put("camera", {"camera_id": 1})
    put("field", {"field_id": 1, "ra_deg": 10.0, "dec_deg": 10.0})
    put("aperture", {"aperture_id": 1})
    put("frame_quality", *({"frame_id": i} for i in ids))
    for source_id, (ra_deg, dec_deg) in STARS.items():
        put(
            "source",
            {"source_id": source_id, "field_id": 1, "ra_deg": ra_deg, "dec_deg": dec_deg},
        )
    frame = {"camera_id": 1, "site_id": 1, "exposure_s": 60.0, "time_source": "DATE-AVG"}
    put(
        "frame",
        *(
            frame | {"frame_id": i, "content_hash": str(i), "mid_utc": t, "time_err_s": 5e-7}
            for i, t in zip(ids, TIMES, strict=True)
        ),
    )
    put("vantage", *vantage(TIMES, frame_id=pl.Series(ids, dtype=pl.Int32), **SITE).to_dicts())
    keys = [{"frame_id": i, "source_id": s} for i in ids for s in STARS]
    put("measurement", *keys)
    put("aperture_flux", *(key | {"aperture_id": 1, "flux_adu": 1.0} for key in keys))
    return database.sql("from light_curve order by source_id, frame_id").pl()


def test_times_of_any_star_agree_with_erfa_within_a_millisecond(rows):
    assert rows.height == len(TIMES) * len(STARS)
    for row in rows.iter_rows(named=True):
        expected = expected_d(TIMES[row["frame_id"] - 1], row["source_id"])
        for name, value in zip(("mid_jd_utc", "mid_hjd_utc", "mid_bjd_tdb"), expected, strict=True):
            assert abs(row[name] - value) < MS_D, (name, row["source_id"], row["frame_id"])


def test_heliocentric_and_barycentric_times_differ_by_the_scale_and_the_suns_own_path(rows):
    apart_s = (rows["mid_bjd_tdb"] - rows["mid_hjd_utc"]) * 86400
    # 68.184 s before the leap second and 69.184 s after it, and at most 4.6 s around the Sun
    assert apart_s.min() > 68.184 - 4.6
    assert apart_s.max() < 69.184 + 4.6


def test_where_a_time_comes_from_and_how_fine_it_is_stands_beside_it(rows):
    assert set(rows["time_source"]) == {"DATE-AVG"}
    assert set(rows["time_err_s"]) == {5e-7}
