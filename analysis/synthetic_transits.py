"""Light curves of transits whose truth is known, with what real nights do to them."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .limb_darkening import Q1_PRIOR, Q2_PRIOR, transit_flux
from .orbits import Ephemeris, orbit_of, shape

Array = NDArray[np.float64]

EXPOSURE_S = 60.0
PLANET = Ephemeris(
    planet_name="X-1 b",
    period_d=3.2,
    period_err_d=1e-7,
    mid_bjd_tdb=2459000.0,
    mid_err_d=2e-3,
    radius_ratio=0.1,
    a_over_r=8.5,
    a_over_r_err=0.2,
    inclination_deg=87.5,
    inclination_err_deg=0.4,
)


@dataclass(frozen=True, slots=True)
class Night:
    """A synthetic night: `rows` as `fit_transit` takes them, and what was put in."""

    rows: pl.DataFrame
    mid_bjd_tdb: float
    radius_ratio: float


def synthetic_night(
    planet: Ephemeris,
    seed: int,
    *,
    radius_ratio: float,
    epoch: int = 1000,
    late_err_d: float = 0.002,
) -> Night:
    """Make one night with red noise, clouds, a drifting field and a trend with airmass.

    The orbit and the limb darkening are drawn from the priors the fit will use, the mid-time from
    a normal distribution around the prediction; the rest from ranges met in real nights.

    Parameters
    ----------
    radius_ratio
        0: no transit.
    late_err_d
        Scatter of the true mid-time around the predicted one.

    Notes
    -----
    White noise of 0.1 to 0.4 % at the zenith, growing with airmass and behind clouds; exponentially
    correlated noise of up to half of it over 10 to 60 minutes; a cloud of 20 to 50 minutes on two
    nights of three; an extinction residual of 1 % per airmass, and flux that follows the place on
    the detector by some 0.2 %, both normal.
    """
    generator = np.random.default_rng(seed)
    mid = planet.mid_bjd_tdb + epoch * planet.period_d
    late_d = late_err_d * generator.normal()
    offset = _times(generator)
    airmass = 1.05 + generator.uniform(4, 18) * (offset - generator.uniform(-0.12, 0.12)) ** 2
    clear = _clouds(offset, generator)
    sigma = generator.uniform(0.001, 0.004) * airmass**0.75 / np.sqrt(clear)
    x_pix, y_pix = (_drift(offset, generator) for _ in range(2))
    fwhm = 2.5 * airmass**0.6 * (1 + 0.05 * generator.normal(size=len(offset)))
    trend = (
        0.01 * generator.normal() * (airmass - 1)
        + 0.002 * generator.normal() * x_pix / 20
        + 0.002 * generator.normal() * y_pix / 20
    )
    red = generator.uniform(0, 0.5) * float(np.median(sigma))
    noise = sigma * generator.normal(size=len(offset)) + _correlated(offset, red, generator)
    model = np.ones_like(offset)
    if radius_ratio:
        model = _transit(planet, offset, late_d, radius_ratio, generator)
    rows = pl.DataFrame(
        {
            "bjd": mid + offset,
            "flux": model * (1 + trend) + noise,
            "err": sigma,
            "airmass": airmass,
            "x_pix": 300 + x_pix,
            "y_pix": 200 + y_pix,
            "frame_fwhm_pix": fwhm,
            "sky_adu_per_pix": 100 * airmass / clear,
        }
    )
    return Night(rows, mid + late_d, radius_ratio)


def _times(generator: np.random.Generator) -> Array:
    """Days from the predicted middle: 5 to 8 hours at 1.5 to 3 minutes."""
    cadence_d = generator.uniform(1.5, 3.0) / 1440
    before, after = generator.uniform(2.3, 4.0, 2) / 24
    return np.arange(-before, after, cadence_d)


def _clouds(offset: Array, generator: np.random.Generator) -> Array:
    """Share of the light that comes through."""
    if generator.uniform() > 2 / 3:
        return np.ones_like(offset)
    centre = generator.uniform(offset[0], offset[-1])
    width = generator.uniform(10, 25) / 1440
    depth = generator.uniform(0.3, 0.8)
    return 1 - depth * np.exp(-0.5 * ((offset - centre) / width) ** 2)


def _drift(offset: Array, generator: np.random.Generator) -> Array:
    """Pixels from the middle: a slow bend and the jitter of the guiding."""
    slope, bend = 100 * generator.normal(), 400 * generator.normal()
    return slope * offset + bend * offset**2 + 0.3 * generator.normal(size=len(offset))


def _correlated(offset: Array, sigma: float, generator: np.random.Generator) -> Array:
    """Noise whose correlation falls off exponentially (an Ornstein-Uhlenbeck process)."""
    length_d = generator.uniform(10, 60) / 1440
    keep = np.exp(-np.diff(offset) / length_d)
    white = generator.normal(size=len(offset))
    values = [white[0]]
    for decay, kick in zip(keep.tolist(), white[1:].tolist(), strict=True):
        values.append(decay * values[-1] + math.sqrt(1 - decay**2) * kick)
    return sigma * np.array(values)


def _transit(
    planet: Ephemeris,
    offset: Array,
    late_d: float,
    radius_ratio: float,
    generator: np.random.Generator,
) -> Array:
    known = shape(planet)
    a_over_r = known.a_over_r + known.a_over_r_err * generator.normal()
    b = abs(known.impact_parameter + known.impact_parameter_err * generator.normal())
    q1, q2 = (
        float(np.clip(centre + width * generator.normal(), 0.01, 0.99))
        for centre, width in (Q1_PRIOR, Q2_PRIOR)
    )
    orbit = orbit_of(planet, a_over_r, b, late_d)
    return transit_flux(offset, orbit, radius_ratio, q1, q2, exposure_s=EXPOSURE_S)
