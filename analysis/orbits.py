"""Orbits of planets: what is known of them, when they transit, and how they cross the star."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
from exoplanet_core.numpy import ops
from numpy.typing import NDArray

from ..errors import FitError

Array = NDArray[np.float64]

SUN_MEAN_DENSITY_KG_M3 = 1.408e3  # IAU 2015 nominal GM and R of the Sun, CODATA G
GRAVITATION_SI = 6.6743e-11
ASSUMED_A_OVER_R_ERR = 0.05  # relative; published without an error
ASSUMED_IMPACT_ERR = 0.1  # published without an error
UNKNOWN_A_OVER_R_ERR = 0.3  # relative; a density within a factor 2.2 of the assumed one
UNKNOWN_IMPACT = (0.4, 0.3)  # any crossing is as likely as any other: 0 to 1 has mean 0.5, std 0.29
BEHIND = 1e3  # separation of a planet that is behind its star


@dataclass(frozen=True, slots=True)
class Ephemeris:
    """What is known of a planet before the night: the columns of table `planet` a fit needs.

    Units as in the table: days, BJD_TDB, degrees, hours; lengths over the star's radius.
    """

    planet_name: str
    period_d: float
    mid_bjd_tdb: float
    period_err_d: float | None = None
    mid_err_d: float | None = None
    radius_ratio: float | None = None
    radius_ratio_err: float | None = None
    a_over_r: float | None = None
    a_over_r_err: float | None = None
    inclination_deg: float | None = None
    inclination_err_deg: float | None = None
    impact_parameter: float | None = None
    eccentricity: float | None = None
    omega_deg: float | None = None
    depth: float | None = None
    duration_h: float | None = None
    star_teff_k: float | None = None
    star_logg: float | None = None
    star_feh: float | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, object]) -> "Ephemeris":
        """Take what is needed from a row of table `planet`, whatever else it holds."""
        return cls(**{f.name: row[f.name] for f in fields(cls) if f.name in row})  # pyright: ignore

    @property
    def expected_radius_ratio(self) -> float:
        """Published, else from the depth, else that of a Jupiter before a Sun."""
        if self.radius_ratio:
            return self.radius_ratio
        return math.sqrt(self.depth) if self.depth else 0.1


@dataclass(frozen=True, slots=True)
class Orbit:
    """A Keplerian orbit around a star of radius 1, seen in transit near `mid_d`.

    `mid_d` is the time of inferior conjunction, on any scale of days; `omega_rad` the argument
    of periastron of the star's orbit, as in radial velocities (Winn 2010, arXiv:1001.2010).
    """

    period_d: float
    mid_d: float
    a_over_r: float
    impact_parameter: float
    eccentricity: float = 0.0
    omega_rad: float = math.pi / 2

    @property
    def distance_at_mid(self) -> float:
        """Distance of the planet at mid-transit, in stellar radii."""
        e = self.eccentricity
        return self.a_over_r * (1 - e * e) / (1 + e * math.sin(self.omega_rad))


@dataclass(frozen=True, slots=True)
class Shape:
    """An orbit's size and tilt with the width of their priors, and where these came from."""

    a_over_r: float
    a_over_r_err: float
    impact_parameter: float
    impact_parameter_err: float
    a_source: str
    b_source: str


def separation(orbit: Orbit, time_d: Array) -> Array:
    """Projected distance of planet and star in stellar radii, `BEHIND` where it is behind."""
    e, omega = orbit.eccentricity, orbit.omega_rad
    mean_anomaly = 2 * np.pi * (time_d - orbit.mid_d) / orbit.period_d + _mean_anomaly_at_mid(
        e, omega
    )
    sin_f, cos_f = ops.kepler(np.mod(mean_anomaly, 2 * np.pi), np.full_like(mean_anomaly, e))
    distance = orbit.a_over_r * (1 - e * e) / (1 + e * cos_f)
    sin_angle = np.sin(omega) * cos_f + np.cos(omega) * sin_f  # sin(omega + f), 1 at conjunction
    cos_angle = np.cos(omega) * cos_f - np.sin(omega) * sin_f
    cos_i = min(1.0, abs(orbit.impact_parameter) / orbit.distance_at_mid)
    projected = distance * np.hypot(cos_angle, sin_angle * cos_i)
    return np.where(sin_angle > 0, projected, BEHIND)


def _mean_anomaly_at_mid(e: float, omega: float) -> float:
    true_anomaly = math.pi / 2 - omega
    eccentric = 2 * math.atan2(
        math.sqrt(1 - e) * math.sin(true_anomaly / 2), math.sqrt(1 + e) * math.cos(true_anomaly / 2)
    )
    return eccentric - e * math.sin(eccentric)


def contacts(orbit: Orbit, reach: float) -> tuple[float, float] | None:
    """Times before and after mid-transit when the separation is `reach`; None if it never is.

    1 + k gives first and fourth contact, 1 - k second and third.
    """
    if abs(orbit.impact_parameter) >= reach:
        return None
    before = _crossing(orbit, reach, -1)
    return orbit.mid_d + before, orbit.mid_d + _crossing(orbit, reach, 1)


def _crossing(orbit: Orbit, reach: float, side: int) -> float:
    """Offset in days on one side of mid-transit, by narrowing a grid around the first crossing."""
    low, high = 0.0, 0.25 * orbit.period_d
    for _ in range(8):
        offset = np.linspace(low, high, 33)
        first = int(np.argmax(separation(orbit, orbit.mid_d + side * offset) >= reach))
        if first == 0:
            return side * high
        low, high = offset[first - 1], offset[first]
    return side * 0.5 * (low + high)


def duration_d(orbit: Orbit, radius_ratio: float) -> float | None:
    """First to fourth contact in days; None if the planet misses the star."""
    pair = contacts(orbit, 1 + radius_ratio)
    return None if pair is None else pair[1] - pair[0]


def shape(planet: Ephemeris) -> Shape:
    """Collect what is known of the orbit's size and tilt, with stated widths where errors lack.

    An a/R* belongs to the eccentricity and omega it was published with, so both are kept
    together. Without one, the published duration gives it, or else the density of the Sun.
    """
    b, b_err, b_source = _impact(planet, a_over_r=planet.a_over_r)
    if planet.a_over_r:
        err, source = planet.a_over_r_err, "ephemeris"
        if not err:
            err, source = ASSUMED_A_OVER_R_ERR * planet.a_over_r, "ephemeris, error assumed"
        return Shape(planet.a_over_r, err, b, b_err, source, b_source)
    if planet.duration_h:
        a_over_r = _a_over_r_of_duration(planet, b)
        return Shape(a_over_r, 0.1 * a_over_r, b, b_err, "published duration", b_source)
    period_s = planet.period_d * 86400
    density = GRAVITATION_SI * SUN_MEAN_DENSITY_KG_M3
    a_over_r = (density * period_s**2 / (3 * math.pi)) ** (1 / 3)
    err = UNKNOWN_A_OVER_R_ERR * a_over_r
    return Shape(a_over_r, err, b, b_err, "density of the Sun assumed", b_source)


def _impact(planet: Ephemeris, *, a_over_r: float | None) -> tuple[float, float, str]:
    if planet.inclination_deg is not None and a_over_r:
        tilt = math.radians(planet.inclination_deg)
        distance = orbit_of(planet, a_over_r, 0.0).distance_at_mid
        b, source = abs(distance * math.cos(tilt)), "inclination"
        if planet.inclination_err_deg:
            err = distance * math.sin(tilt) * math.radians(planet.inclination_err_deg)
            return b, err, source
        return b, ASSUMED_IMPACT_ERR, f"{source}, error assumed"
    if planet.impact_parameter is not None:
        return abs(planet.impact_parameter), ASSUMED_IMPACT_ERR, "ephemeris, error assumed"
    return *UNKNOWN_IMPACT, "unknown"


def _a_over_r_of_duration(planet: Ephemeris, b: float) -> float:
    """Invert the duration of a circular orbit, then stretch it to the planet's own (Winn 2010)."""
    chord = math.sqrt(max((1 + planet.expected_radius_ratio) ** 2 - b * b, 0.01))
    e, omega = _eccentricity(planet)
    stretch = math.sqrt(1 - e * e) / (1 + e * math.sin(omega))
    angle = math.pi * (planet.duration_h or 0.0) / 24 / planet.period_d / stretch
    if not 0 < angle < math.pi / 2:
        raise FitError(
            f"{planet.planet_name}: a duration of {planet.duration_h:g} h does not fit a period of "
            f"{planet.period_d:g} d; correct the ephemeris."
        )
    return math.hypot(chord / math.sin(angle), b)


def _eccentricity(planet: Ephemeris) -> tuple[float, float]:
    """Eccentricity and omega in radians; without omega the orbit is taken as circular."""
    if not planet.eccentricity or planet.omega_deg is None:
        return 0.0, math.pi / 2
    if not 0 <= planet.eccentricity < 1:
        raise FitError(
            f"{planet.planet_name}: eccentricity {planet.eccentricity:g}; expected 0 or more and "
            "less than 1. Correct the ephemeris."
        )
    return planet.eccentricity, math.radians(planet.omega_deg)


def orbit_of(
    planet: Ephemeris, a_over_r: float, impact_parameter: float, mid_d: float = 0.0
) -> Orbit:
    """Put the planet on its orbit with the given size and tilt."""
    e, omega = _eccentricity(planet)
    return Orbit(planet.period_d, mid_d, a_over_r, impact_parameter, e, omega)


def epoch_of(planet: Ephemeris, bjd_tdb: float) -> int:
    """Count the transits from the ephemeris' zero to the one nearest in time."""
    return round((bjd_tdb - planet.mid_bjd_tdb) / planet.period_d)


def mid_of(planet: Ephemeris, epoch: int) -> tuple[float, float | None]:
    """Predict a mid-transit in BJD_TDB and its error in days, None if an error is not known."""
    mid = planet.mid_bjd_tdb + epoch * planet.period_d
    if planet.mid_err_d is None or (planet.period_err_d is None and epoch != 0):
        return mid, None
    return mid, math.hypot(planet.mid_err_d, epoch * (planet.period_err_d or 0.0))


def predict(planet: Ephemeris, start_bjd_tdb: float, end_bjd_tdb: float) -> pl.DataFrame:
    """List every transit of which a part falls between two times.

    Returns
    -------
    One row a transit: epoch, mid_bjd_tdb, mid_err_d (null if the ephemeris has no errors),
    first_contact_bjd_tdb, fourth_contact_bjd_tdb, duration_h.
    """
    if planet.period_d <= 0 or end_bjd_tdb < start_bjd_tdb:
        raise FitError(
            f"{planet.planet_name}: period {planet.period_d:g} d, from {start_bjd_tdb:.5f} to "
            f"{end_bjd_tdb:.5f}; expected a period above 0 and times in order."
        )
    first, last = expected_contacts(planet)
    rows = []
    for epoch in range(epoch_of(planet, start_bjd_tdb) - 1, epoch_of(planet, end_bjd_tdb) + 2):
        mid, err = mid_of(planet, epoch)
        if mid + last >= start_bjd_tdb and mid + first <= end_bjd_tdb:
            rows.append((epoch, mid, err, mid + first, mid + last, 24 * (last - first)))
    columns = ("mid_bjd_tdb", "mid_err_d", "first_contact_bjd_tdb", "fourth_contact_bjd_tdb")
    schema = {"epoch": pl.Int64} | dict.fromkeys((*columns, "duration_h"), pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def expected_contacts(planet: Ephemeris) -> tuple[float, float]:
    """First and fourth contact as days from mid-transit, from what is known of the orbit.

    A published duration goes before that of the orbit; an orbit that misses the star by its
    errors is taken to graze it.
    """
    if planet.duration_h:
        return -planet.duration_h / 48, planet.duration_h / 48
    known = shape(planet)
    k = planet.expected_radius_ratio
    orbit = orbit_of(planet, known.a_over_r, min(known.impact_parameter, 1.0))
    pair = contacts(orbit, 1 + k)
    return pair if pair is not None else (-0.01, 0.01)


def at_mid(orbit: Orbit, mid_d: float) -> Orbit:
    """Shift an orbit in time."""
    return replace(orbit, mid_d=mid_d)
