"""Where the observer was and which way was up: rows of table `vantage`.

The rows hold no star, so that SQL makes the times and the airmass of any star from them::

    bjd_tdb = jd_utc + (tdb_minus_utc_s + dot(barycentric, star)) / 86400
    hjd_utc = jd_utc + dot(heliocentric, star) / 86400
    airmass = f(asin(dot(zenith, star)))

with `star` the unit vector of its ICRS position. Light travel time is that of a plane wave
(Eastman, Siverd & Gaudi 2010): the curvature of the wave front is 1 ms at 2 pc and falls with
distance; the Shapiro delay of the Sun is below 0.1 ms unless the star is within degrees of it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import astropy.units as u
import erfa
import numpy as np
import polars as pl
from astropy.coordinates import EarthLocation, get_body_barycentric, solar_system_ephemeris
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import NDArray

from ..errors import UsageError

SITE_ABOVE_M = 1e6  # second point on the plumb line; far enough that rounding is below 1e-9 rad

Vectors = NDArray[np.float64]


def vantage(
    mid_utc: pl.Series | NDArray[np.datetime64] | Sequence[datetime],
    *,
    latitude_deg: float | None,
    longitude_deg: float | None,
    elevation_m: float | None = None,
    frame_id: pl.Series | None = None,
) -> pl.DataFrame:
    """Place one observer at many times.

    Parameters
    ----------
    mid_utc
        UTC at mid-exposure, shape (n,), microseconds kept; a time zone, if any, is converted.
    latitude_deg, longitude_deg
        Geodetic (WGS84), north and east positive. Both None: the observer is put at the centre of
        the Earth, which shifts times by at most 21 ms, and there is no zenith.
    elevation_m
        Above the ellipsoid; None is taken as sea level (1 km moves a time by 3 microseconds).
    frame_id
        The frames the times belong to, shape (n,); None leaves the column out.

    Returns
    -------
    One row a time with the columns of table `vantage`. Positions are of the observer, in light
    seconds along the ICRS axes; the zenith is the plumb line of the ellipsoid, without refraction.

    Raises
    ------
    UsageError
        A time is missing, or only one of latitude and longitude is given, or they are absurd.

    Notes
    -----
    Positions of the Earth and the Sun are those of ERFA's `epv00` (13 km or 45 microseconds off at
    worst). UT1 comes from the tables astropy ships, and nothing is downloaded: past their
    end the Earth's rotation is off by less than a second, 2 microseconds of light and 15 arcsec.
    """
    site = _site(latitude_deg, longitude_deg, elevation_m)
    utc = _naive_utc(mid_utc)
    with _without_downloads(), solar_system_ephemeris.set("builtin"):
        time = Time(utc, format="datetime64", scale="utc", location=site)
        tdb_minus_utc_s = _tdb_minus_utc_s(time)
        sun_ls = _light_seconds(get_body_barycentric("sun", time))
        observer_ls = _light_seconds(get_body_barycentric("earth", time))
        zenith = None
        if site is not None:
            observer_ls = observer_ls + _light_seconds(site.get_gcrs_posvel(time)[0])
            zenith = _zenith(site, time)
    columns: dict[str, pl.Series | NDArray[np.float64]] = {"tdb_minus_utc_s": tdb_minus_utc_s}
    columns |= _components("barycentric_{}_ls", observer_ls)
    columns |= _components("heliocentric_{}_ls", observer_ls - sun_ls)
    n_time = len(tdb_minus_utc_s)
    if zenith is None:
        unknown = pl.repeat(None, n_time, dtype=pl.Float64, eager=True)
        columns |= dict.fromkeys(("zenith_x", "zenith_y", "zenith_z"), unknown)
    else:
        columns |= _components("zenith_{}", zenith)
    columns["is_geocentric"] = pl.repeat(site is None, n_time, dtype=pl.Boolean, eager=True)
    return pl.DataFrame(columns if frame_id is None else {"frame_id": frame_id} | columns)


def _naive_utc(
    mid_utc: pl.Series | NDArray[np.datetime64] | Sequence[datetime],
) -> NDArray[np.datetime64]:
    if not isinstance(mid_utc, pl.Series) or not isinstance(mid_utc.dtype, pl.Datetime):
        mid_utc = pl.Series("mid_utc", mid_utc, dtype=pl.Datetime("us"))
    if mid_utc.dtype.time_zone is not None:  # pyright: ignore[reportAttributeAccessIssue]
        mid_utc = mid_utc.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if mid_utc.null_count():
        raise UsageError(
            f"vantage: {mid_utc.null_count()} of {len(mid_utc)} frames have no time; "
            "expected the middle of each exposure in UTC. Leave frames without a time out."
        )
    return mid_utc.dt.cast_time_unit("us").to_numpy()


def _site(
    latitude_deg: float | None, longitude_deg: float | None, elevation_m: float | None
) -> EarthLocation | None:
    if latitude_deg is None and longitude_deg is None:
        return None
    if (
        latitude_deg is None
        or longitude_deg is None
        or not abs(latitude_deg) <= 90
        or not abs(longitude_deg) <= 360
    ):
        raise UsageError(
            f"site: latitude {latitude_deg}, longitude {longitude_deg}; expected degrees within "
            "+-90 north and +-360 east, or neither. Correct the site in the configuration."
        )
    return EarthLocation.from_geodetic(
        longitude_deg * u.deg, latitude_deg * u.deg, (elevation_m or 0.0) * u.m
    )


@contextmanager
def _without_downloads() -> Iterator[None]:
    """Use the shipped tables of the Earth's rotation, and accept dates they do not reach."""
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        warnings.catch_warnings(),
    ):
        # erfa calls years beyond its table of leap seconds dubious; camera clocks are worse.
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        warnings.filterwarnings("ignore", message=".*polar motions.*")
        yield


def _tdb_minus_utc_s(time: Time) -> NDArray[np.float64]:
    # The two halves are subtracted apart: a whole JD resolves 40 microseconds only.
    tdb: Any = time.tdb
    return ((tdb.jd1 - time.jd1) + (tdb.jd2 - time.jd2)) * 86400.0


def _light_seconds(position: object) -> Vectors:
    """Cartesian representation of n points to light seconds, shape (n, 3)."""
    metres = position.xyz.to_value(u.m)  # pyright: ignore[reportAttributeAccessIssue]
    return np.moveaxis(metres, 0, -1) / erfa.CMPS


def _zenith(site: EarthLocation, time: Time) -> Vectors:
    """Unit vectors of the plumb line, as the difference of two points on it."""
    longitude, latitude, height = site.to_geodetic()
    higher: Any = height + SITE_ABOVE_M * u.m
    above = EarthLocation.from_geodetic(longitude, latitude, higher)
    low = _light_seconds(site.get_gcrs_posvel(time)[0])
    up = _light_seconds(above.get_gcrs_posvel(time)[0]) - low
    return up / np.linalg.norm(up, axis=-1, keepdims=True)


def _components(name: str, vectors: Vectors) -> dict[str, NDArray[np.float64]]:
    return {name.format(axis): vectors[:, i] for i, axis in enumerate("xyz")}
