"""A made-up sky: a planet that transits, a field of stars, and where they stand over a site."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import astropy.units as u
import numpy as np
import polars as pl
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from exoplanet_core import quad_limbdark_light_curve
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Planet:
    """A planet on a circular orbit and the limb darkening of its star."""

    planet_name: str = "Demo-1 b"
    host_name: str = "Demo-1"
    period_d: float = 1.3512873
    period_err_d: float = 1.1e-6
    mid_err_d: float = 0.00021
    epoch: int = 214
    """Transits between the published mid-transit time and the night."""
    radius_ratio: float = 0.115
    a_over_r: float = 6.5
    impact_parameter: float = 0.30
    limb_darkening: tuple[float, float] = (0.40, 0.25)
    """Coefficients of the quadratic law."""

    @property
    def inclination_deg(self) -> float:
        """Inclination of the orbit in degrees."""
        return math.degrees(math.acos(self.impact_parameter / self.a_over_r))

    @property
    def duration_h(self) -> float:
        """First to fourth contact in hours (Winn 2010, arXiv:1001.2010, equation 14)."""
        chord = math.sqrt((1 + self.radius_ratio) ** 2 - self.impact_parameter**2)
        sine = chord / (self.a_over_r * math.sin(math.radians(self.inclination_deg)))
        return self.period_d * 24 / math.pi * math.asin(sine)

    @property
    def depth(self) -> float:
        """Largest flux loss, limb darkening included."""
        return 1 - float(transit_flux(np.zeros(1), self)[0])


@dataclass(frozen=True, slots=True)
class Site:
    """Where the observer stands."""

    latitude_deg: float = 28.30
    longitude_deg: float = -16.51
    elevation_m: float = 2390.0

    @property
    def location(self) -> EarthLocation:
        """The same for astropy."""
        return EarthLocation.from_geodetic(
            self.longitude_deg * u.deg, self.latitude_deg * u.deg, self.elevation_m * u.m
        )


def transit_flux(
    time_from_mid_d: Array, planet: Planet, *, exposure_d: float = 0.0, n_node: int = 5
) -> Array:
    """Return the relative flux of the host star, 1 outside the transit.

    Parameters
    ----------
    time_from_mid_d
        Barycentric time from mid-transit in days, shape (n,).
    exposure_d
        The model is averaged over this time, at `n_node` mid-points.

    Returns
    -------
    Relative flux, shape (n,), for quadratic limb darkening (Agol, Luger & Foreman-Mackey 2020,
    AJ 159, 123).
    """
    offset_d = ((np.arange(n_node) + 0.5) / n_node - 0.5) * exposure_d
    phase = 2 * np.pi * (np.asarray(time_from_mid_d)[:, None] + offset_d) / planet.period_d
    cos_inclination = planet.impact_parameter / planet.a_over_r
    separation = planet.a_over_r * np.hypot(np.sin(phase), np.cos(phase) * cos_inclination)
    separation = np.where(np.cos(phase) > 0, separation, 2 + planet.radius_ratio)
    loss = quad_limbdark_light_curve(*planet.limb_darkening, separation, planet.radius_ratio)
    return 1 + np.asarray(loss).mean(axis=1)


def star_vantage(
    mid_utc: Sequence[datetime], *, ra_deg: float, dec_deg: float, site: Site
) -> pl.DataFrame:
    """Work out barycentric time and airmass of a star.

    Returns
    -------
    One row per time: `mid_jd_utc`, `mid_bjd_tdb` (light travel time to the barycentre included),
    `airmass` (Pickering 2002), `altitude_deg`, `azimuth_deg`.
    """
    star = SkyCoord(ra_deg * u.deg, dec_deg * u.deg)
    with iers.conf.set_temp("auto_download", False):
        time = Time(list(mid_utc), scale="utc", location=site.location)
        bjd = time.tdb + time.light_travel_time(star, "barycentric")
        altaz: Any = star.transform_to(AltAz(obstime=time, location=site.location))
    altitude_deg = np.asarray(altaz.alt.deg)
    return pl.DataFrame(
        {
            "mid_jd_utc": time.jd,
            "mid_bjd_tdb": bjd.jd,
            "airmass": pickering_airmass(altitude_deg),
            "altitude_deg": altitude_deg,
            "azimuth_deg": np.asarray(altaz.az.deg),
        }
    )


def pickering_airmass(altitude_deg: Array) -> Array:
    """Return the airmass at a true altitude in degrees (Pickering 2002, DIO 12, 1)."""
    refracted_deg = altitude_deg + 244 / (165 + 47 * np.abs(altitude_deg) ** 1.1)
    return 1 / np.sin(np.radians(refracted_deg))


def place_stars(
    rng: Generator,
    *,
    n_star: int,
    n_comparison: int,
    target_flux_e_per_s: float,
    half_field_pix: tuple[float, float],
    half_bright_pix: tuple[float, float],
    separation_pix: float = 34.0,
) -> pl.DataFrame:
    """Scatter a target, its comparison stars and faint stars over a field.

    The target, the comparison stars, one variable star as bright as them and one star that
    saturates stay `separation_pix` clear of all others and within `half_bright_pix` of the centre;
    faint stars lie anywhere within `half_field_pix` and may blend with one another.

    Returns
    -------
    One row per star: `star_id`, `role` (target, comparison, variable, saturated, faint), `u_pix`,
    `v_pix` (pixels from the field's centre), `flux_e_per_s` (above the atmosphere).

    Raises
    ------
    UsageError
        The field is too small for that many stars.
    """
    if n_star < n_comparison + 3:
        raise UsageError(
            f"synthetic field: {n_star} stars, expected at least {n_comparison + 3} (the target, "
            f"{n_comparison} comparison stars, a variable and a saturated star). Raise n_star."
        )
    n_faint = n_star - n_comparison - 3
    role = ["target", *["comparison"] * n_comparison, "variable", "saturated"]
    ratio = np.concatenate(
        [[1.0], 10 ** rng.uniform(-0.35, 0.35, n_comparison), [0.9], [40.0]],
    )
    faint_ratio = 10 ** rng.uniform(-2.3, -0.9, n_faint)
    u_pix, v_pix = _scatter(
        rng,
        n_clear=len(role),
        n_all=n_star,
        half_field_pix=half_field_pix,
        half_bright_pix=half_bright_pix,
        separation_pix=separation_pix,
    )
    return pl.DataFrame(
        {
            "star_id": np.arange(n_star),
            "role": role + ["faint"] * n_faint,
            "u_pix": u_pix,
            "v_pix": v_pix,
            "flux_e_per_s": target_flux_e_per_s * np.concatenate([ratio, faint_ratio]),
        }
    )


def _scatter(
    rng: Generator,
    *,
    n_clear: int,
    n_all: int,
    half_field_pix: tuple[float, float],
    half_bright_pix: tuple[float, float],
    separation_pix: float,
) -> tuple[Array, Array]:
    """Draw positions; the first `n_clear` keep their distance from all, the rest from those."""
    position = np.zeros((n_all, 2))
    position[0] = 0.25 * rng.uniform(-1, 1, 2) * half_bright_pix
    for i in range(1, n_all):
        half = half_bright_pix if i < n_clear else half_field_pix
        kept = position[: min(i, n_clear)]
        candidate = rng.uniform(-1, 1, (3000, 2)) * half
        distance = np.linalg.norm(candidate[:, None, :] - kept[None, :, :], axis=2).min(axis=1)
        clear = np.flatnonzero(distance > separation_pix)
        if not clear.size:
            raise UsageError(
                f"synthetic field: no room for star {i + 1} of {n_all} at {separation_pix:g} "
                f"pixels from the others within +-{half[0]:.0f} x +-{half[1]:.0f} pixels. Take "
                "fewer stars or a larger frame."
            )
        position[i] = candidate[clear[0]]
    return position[:, 0], position[:, 1]
