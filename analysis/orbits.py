"""Orbits of planets: the ephemeris, when they transit, and how far from the star's centre they pass."""

from dataclasses import dataclass


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
