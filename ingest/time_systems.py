"""Times of others on our scale: BJD_TDB from whatever system was stated, never from a guess."""

import re
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError

SYSTEMS = ("BJD_TDB", "BJD_TT", "BJD_UTC", "HJD_UTC", "HJD_TDB", "JD_UTC")
NEEDS_PLACE = ("HJD_UTC", "HJD_TDB", "JD_UTC")


def parse_system(text: str) -> str | None:
    """Return the name of a time system however it is spelled, None if its standard is not told.

    HJD and BJD alone are no systems: they leave a minute open.
    """
    system = re.sub(r"[^A-Z]+", "_", text.upper()).strip("_")
    return system if system in SYSTEMS else None


def to_bjd_tdb(
    time_jd: ArrayLike, system: str, ra_deg: float | None, dec_deg: float | None
) -> NDArray[np.float64]:
    """Convert Julian dates to BJD_TDB as seen from the Earth's centre.

    Parameters
    ----------
    time_jd
        Times at mid-exposure, shape (n,) or ().
    system
        One of `SYSTEMS`.
    ra_deg, dec_deg
        ICRS position of the star; only needed for `NEEDS_PLACE`.

    Returns
    -------
    Times of the shape given. From JD they are off by the light time to the observer's site, at
    most 21 ms.

    Raises
    ------
    UsageError
        A system that is not known, or one that needs a position without it.
    """
    if system not in SYSTEMS:
        raise UsageError(f"time system {system!r}; expected one of {', '.join(SYSTEMS)}.")
    if system in {"BJD_TDB", "BJD_TT"}:  # TT and TDB differ by less than 2 ms
        return np.asarray(time_jd, dtype=np.float64)
    frame, scale = system.split("_")
    centre = EarthLocation(0 * u.m, 0 * u.m, 0 * u.m)
    # astropy's types do not know what a Time of numbers has.
    time: Any = Time(time_jd, format="jd", scale=scale.lower(), location=centre)
    if frame == "BJD":
        return np.asarray(time.tdb.jd, dtype=np.float64)
    if ra_deg is None or dec_deg is None:
        raise UsageError(f"a time in {system} needs ra and dec of the star to be converted.")
    star = SkyCoord(ra_deg, dec_deg, unit="deg")
    with iers.conf.set_temp("auto_download", False):
        seen = time
        for _ in range(2 if frame == "HJD" else 0):
            # The Earth moves by up to 50 ms of light while the light is on its way.
            seen = time - seen.light_travel_time(star, "heliocentric")
        bjd_tdb: Any = seen.tdb + seen.light_travel_time(star, "barycentric")
    return np.asarray(bjd_tdb.jd, dtype=np.float64)
