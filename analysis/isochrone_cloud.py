"""An isochrone as stars would populate it: weighted points of single stars and of pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .isochrones import Isochrone

Array = NDArray[np.float64]

STEP_COLOUR, STEP_MAG = 0.004, 0.01  # mag; between neighbouring points, less than any error
# points of pairs, and the least error of colour times error of magnitude that they are for
PAIRS = ((3000, 4e-3), (12_000, 5e-4), (40_000, 0.0))
GOLDEN = 0.6180339887498949  # its multiples spread evenly over [0, 1)


@dataclass(frozen=True, slots=True)
class Points:
    """Weighted points, brightest first; arrays of shape (n_point,), weights sum to one."""

    colour: Array
    mag: Array
    weight: Array


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where single stars and pairs of one age lie, absolute magnitudes without reddening.

    Attributes
    ----------
    pairs
        The same pairs again and again, finer and finer, as `PAIRS` says: stars with small errors
        see gaps between few points, and a blur that fills them would move the fit; for all others
        few are enough, and quicker.
    """

    single: Points
    pairs: tuple[Points, ...]


def mass_function(mass_msun: Array) -> Array:
    """Return stars per unit mass, up to a factor (Kroupa 2001, MNRAS 322, 231)."""
    return np.where(mass_msun < 0.5, 2.0 * mass_msun**-1.3, mass_msun**-2.3)


def cloud(isochrone: Isochrone, *, max_phase: int) -> Cloud:
    """Populate an isochrone by its masses.

    Pairs have mass ratios spread evenly over 0 to 1, of which those too light for the isochrone
    count as light without a companion's.

    Parameters
    ----------
    max_phase
        Last phase of evolution taken: 2 leaves out what follows the giant branch.
    """
    mass, magnitudes = _resampled(isochrone, max_phase)
    stars = mass_function(mass) * np.clip(np.gradient(mass), 0, None)
    blue, red, mag = magnitudes.T
    single = _points(blue - red, mag, stars)
    return Cloud(single, tuple(_pairs(mass, magnitudes, stars, n_pair) for n_pair, _ in PAIRS))


def _pairs(mass: Array, magnitudes: Array, stars: Array, n_pair: int) -> Points:
    """Return pairs, evenly in how many points, not how many stars: giants need points, too."""
    primary = np.linspace(0, len(mass) - 1, n_pair).astype(int)
    ratio = np.asarray((np.arange(n_pair) * GOLDEN) % 1, dtype=np.float64)
    blue, red, mag = _together(magnitudes, mass, primary, ratio).T
    return _points(blue - red, mag, stars[primary])


def _resampled(isochrone: Isochrone, max_phase: int) -> tuple[Array, Array]:
    """Masses and magnitudes (n, 3) at small steps along the curve."""
    kept = isochrone.phase <= max_phase
    mass = np.maximum.accumulate(isochrone.mass_msun[kept])
    magnitudes = np.column_stack([isochrone.blue_mag, isochrone.red_mag, isochrone.mag])[kept]
    colour, mag = magnitudes[:, 0] - magnitudes[:, 1], magnitudes[:, 2]
    # a gap between phases, as at the helium flash, is crossed in no time and by no star
    steps = np.hypot(np.diff(colour) / STEP_COLOUR, np.diff(mag) / STEP_MAG)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.linspace(0, along[-1], int(along[-1]) + 2)
    resampled = [np.interp(places, along, column) for column in (mass, *magnitudes.T)]
    return resampled[0], np.column_stack(resampled[1:])


def _together(magnitudes: Array, mass: Array, primary: NDArray[np.int64], ratio: Array) -> Array:
    """Magnitudes of pairs in all bands, shape (n_pair, 3)."""
    companion = mass[primary] * ratio
    above = np.clip(np.searchsorted(mass, companion), 1, len(mass) - 1)
    step = mass[above] - mass[above - 1]
    share = np.divide(companion - mass[above - 1], step, out=np.zeros_like(step), where=step > 0)
    share[companion < mass[0]] = np.nan  # too light: no light of its own
    light = 10 ** (-0.4 * magnitudes)
    second = light[above - 1] + share[:, None] * (light[above] - light[above - 1])
    return -2.5 * np.log10(light[primary] + np.nan_to_num(second))


def _points(colour: Array, mag: Array, stars: Array) -> Points:
    order = np.argsort(mag, kind="stable")
    return Points(colour[order], mag[order], stars[order] / stars.sum())
