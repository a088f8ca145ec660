"""Transits to come: when they happen, how high the star stands, how dark the sky over a site is.

Everything is computed with tables that ship with astropy; nothing is asked of the network.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import astropy.units as u
import numpy as np
import polars as pl
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
from astropy.time import Time
from astropy.utils import iers
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from .orbits import Ephemeris, predict

Array = NDArray[np.float64]

STEP_MIN = 5.0
MARGIN_MIN = 30.0  # of baseline wanted on both sides of a transit
TWILIGHTS = {"civil": -6.0, "nautical": -12.0, "astronomical": -18.0}

SCHEMA: dict[str, Any] = {
    "epoch": pl.Int64,
    "mid_utc": pl.Datetime("us"),
    "mid_bjd_tdb": pl.Float64,
    "mid_err_min": pl.Float64,
    "first_contact_utc": pl.Datetime("us"),
    "fourth_contact_utc": pl.Datetime("us"),
    "altitude_first_deg": pl.Float64,
    "altitude_mid_deg": pl.Float64,
    "altitude_fourth_deg": pl.Float64,
    "sun_altitude_deg": pl.Float64,
    "moon_altitude_deg": pl.Float64,
    "moon_separation_deg": pl.Float64,
    "moon_lit": pl.Float64,
    "observable": pl.Float64,
    "verdict": pl.String,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A site on Earth and what an observer there asks of the sky."""

    latitude_deg: float
    longitude_deg: float
    elevation_m: float = 0.0
    min_altitude_deg: float = 30.0
    twilight_deg: float = -12.0


def coming_transits(
    planet: Ephemeris,
    ra_deg: float,
    dec_deg: float,
    place: Place,
    *,
    start_utc: datetime,
    days: float,
) -> pl.DataFrame:
    """List the transits of a planet in a span of days, and what the sky over a site is like.

    Returns
    -------
    One row a transit, columns of `SCHEMA`. observable is the part of the transit, with half an hour
    on both sides, in which the star stands above the altitude asked for and the Sun below the
    twilight; sun_altitude_deg is the highest during the transit; moon_lit is the lit part of its
    disc; altitudes are without refraction.
    """
    # astropy's types do not know what a SkyCoord or a Time of numbers has
    star: Any = SkyCoord(ra_deg, dec_deg, unit="deg")
    site = EarthLocation.from_geodetic(
        place.longitude_deg * u.deg, place.latitude_deg * u.deg, place.elevation_m * u.m
    )
    with _offline():
        start: Any = Time(start_utc, scale="utc", location=site)
        first_bjd = float((start.tdb + start.light_travel_time(star)).jd)
        transits = predict(planet, first_bjd, first_bjd + days)
        rows = [
            _described(transit, star, site, place) for transit in transits.iter_rows(named=True)
        ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _described(
    transit: dict[str, Any], star: Any, site: EarthLocation, place: Place
) -> dict[str, Any]:
    contacts = [
        transit[name] for name in ("first_contact_bjd_tdb", "mid_bjd_tdb", "fourth_contact_bjd_tdb")
    ]
    utc = _at_site(np.array(contacts), star, site)
    margin = MARGIN_MIN / 1440
    n_step = max(3, round((utc.jd[2] - utc.jd[0] + 2 * margin) * 1440 / STEP_MIN))
    grid: Any = Time(
        np.concatenate([utc.jd, np.linspace(utc.jd[0] - margin, utc.jd[2] + margin, n_step)]),
        format="jd",
        scale="utc",
        location=site,
    )
    frame: Any = AltAz(obstime=grid, location=site)
    altitude = star.transform_to(frame).alt.deg
    sun: Any = get_body("sun", grid, site)
    moon: Any = get_body("moon", grid[1], site)
    sun_altitude = sun.transform_to(frame).alt.deg
    is_good = (altitude > place.min_altitude_deg) & (sun_altitude < place.twilight_deg)
    is_during = slice(3, None)
    during = (grid.jd >= utc.jd[0]) & (grid.jd <= utc.jd[2])
    observable = float(np.mean(is_good[is_during]))
    err = transit["mid_err_d"]
    first, mid, fourth = utc.to_datetime()
    return {
        "epoch": transit["epoch"],
        "mid_utc": mid,
        "mid_bjd_tdb": transit["mid_bjd_tdb"],
        "mid_err_min": None if err is None else 1440 * err,
        "first_contact_utc": first,
        "fourth_contact_utc": fourth,
        "altitude_first_deg": altitude[0],
        "altitude_mid_deg": altitude[1],
        "altitude_fourth_deg": altitude[2],
        "sun_altitude_deg": float(sun_altitude[during].max()),
        "moon_altitude_deg": float(moon.transform_to(frame[1]).alt.deg),
        "moon_separation_deg": _separation_deg(star, moon),
        "moon_lit": _lit(sun[1], moon),
        "observable": observable,
        "verdict": _verdict(altitude, sun_altitude, is_good[is_during], place),
    }


def _verdict(altitude: Array, sun_altitude: Array, is_good: NDArray[np.bool_], place: Place) -> str:
    if is_good.all():
        return "whole"
    if is_good.any():
        lost = []
        if (altitude <= place.min_altitude_deg).any():
            lost.append("low")
        if (sun_altitude >= place.twilight_deg).any():
            lost.append("twilight")
        return f"partly: {' and '.join(lost)}"
    if (sun_altitude >= place.twilight_deg).all():
        return "by day"
    return "too low" if (altitude <= place.min_altitude_deg).all() else "low or by day"


def _at_site(bjd_tdb: Array, star: Any, site: EarthLocation) -> Any:
    """UTC at the site of events given in BJD_TDB, within a millisecond."""
    time: Any = Time(bjd_tdb, format="jd", scale="tdb", location=site)
    seen = time
    for _ in range(2):  # the Earth moves by 50 ms of light while the light is on its way
        seen = time - seen.light_travel_time(star)
    return seen.utc


def _separation_deg(star: Any, moon: Any) -> float:
    """Angle on the sky as the site sees it: between directions, whatever the distances."""
    there = star.transform_to(moon.frame)
    apart: Any = SkyCoord(there.ra, there.dec).separation(SkyCoord(moon.ra, moon.dec))
    return float(apart.deg)


def _lit(sun: Any, moon: Any) -> float:
    """Lit part of the Moon's disc from the triangle Sun, Earth, Moon (Meeus 1998, eq. 48.1)."""
    apart: Any = SkyCoord(sun.ra, sun.dec).separation(SkyCoord(moon.ra, moon.dec))
    phase = np.arctan2(
        sun.distance.au * np.sin(apart.rad), moon.distance.au - sun.distance.au * np.cos(apart.rad)
    )
    return float((1 + np.cos(phase)) / 2)


@contextmanager
def _offline() -> Iterator[None]:
    """Use the shipped tables of the Earth's rotation, and accept dates they do not reach."""
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.filterwarnings("ignore", message=".*dubious year.*")
        yield
