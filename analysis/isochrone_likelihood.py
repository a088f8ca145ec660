"""How likely stars of a colour-magnitude diagram are, given an isochrone, pairs and field stars.

The likelihood is that of each star's colour at its magnitude. What it has of the two errors and
their covariance is exact; how many stars there are at a magnitude plays no part, for that depends
on where the observer looked and how deep he saw.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .isochrone_cloud import PAIRS, Cloud, Points

Array = NDArray[np.float64]

FLOOR_COLOUR, FLOOR_MAG = (
    0.005,
    0.01,
)  # mag; no isochrone is better, and its points are as far apart
REACH = 5.0  # sigmas
NOBODY = 1e-9  # stars per magnitude, where the isochrone has none


@dataclass(frozen=True, slots=True)
class Stars:
    """Stars of a diagram, arrays of shape (n_star,), magnitudes.

    Attributes
    ----------
    covariance
        Of the errors of colour and magnitude: -1 times the variance of the red band where that
        is the magnitude, the variance of the blue band where that is, else 0.
    """

    colour: Array
    mag: Array
    colour_err: Array
    mag_err: Array
    covariance: Array

    @property
    def colour_range(self) -> float:
        """Span of the colours, over which field stars are spread."""
        return float(max(np.ptp(self.colour), 0.1))

    def chosen(self, which: NDArray) -> "Stars":
        """Return some of the stars, by a mask or by indices."""
        return Stars(*(getattr(self, name)[which] for name in Stars.__slots__))


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of pairs among members and of field stars among all; error of the curve itself."""

    binary_fraction: float
    field_fraction: float
    jitter_mag: float = 0.0


def star_likelihood(
    stars: Stars, model: Cloud, shift: tuple[float, float], mixture: Mixture
) -> tuple[Array, Array]:
    """Return the density of each star's colour, and the probability that it is a member.

    Parameters
    ----------
    shift
        Added to the colours and magnitudes of the isochrone: reddening, distance and extinction.

    Returns
    -------
    density, is_member
        Shape (n_star,); per magnitude, and 0 to 1.
    """
    colour, mag = stars.colour - shift[0], stars.mag - shift[1]
    jitter = mixture.jitter_mag**2
    moved = Stars(
        colour,
        mag,
        np.sqrt(stars.colour_err**2 + FLOOR_COLOUR**2 + jitter),
        np.sqrt(stars.mag_err**2 + FLOOR_MAG**2 + jitter),
        stars.covariance,
    )
    singles = _sums(moved, model.single)
    pairs = np.zeros_like(singles)
    blur = moved.colour_err * moved.mag_err
    for points, level in zip(model.pairs, levels_of(blur), strict=True):
        pairs[:, level] = _sums(moved.chosen(level), points)
    share = mixture.binary_fraction
    both, at_magnitude = (1 - share) * singles + share * pairs
    member = (1 - mixture.field_fraction) * both / (at_magnitude + NOBODY)
    field = mixture.field_fraction / stars.colour_range
    density = member + field
    return density, np.divide(member, density, out=np.zeros_like(density), where=density > 0)


def levels_of(blur_mag2: Array) -> list[NDArray[np.bool_]]:
    """Say which stars each level of pairs is for, by the product of their errors."""
    limits = pairwise([np.inf, *(least for _, least in PAIRS)])
    return [(blur_mag2 < above) & (blur_mag2 >= least) for above, least in limits]


def _sums(stars: Stars, points: Points) -> Array:
    """Sum Gaussians of colour and magnitude, and of the magnitude alone; shape (2, n_star)."""
    at = points.mag, points.weight
    errors = stars.colour_err**2, stars.mag_err**2, stars.covariance
    return np.array(
        [
            _joint(stars.colour, stars.mag, *errors, points.colour, *at),
            _alone(stars.mag, stars.mag_err, *at),
        ]
    )


@njit(cache=True, nogil=True)
def _joint(colour, mag, var_colour, var_mag, covariance, at_colour, at_mag, weight):  # noqa: PLR0917
    """Sum two-dimensional Gaussians at points sorted by magnitude, shape (n_star,)."""
    density = np.zeros(len(colour))
    for i in range(len(colour)):
        reach = REACH * np.sqrt(var_mag[i])
        first = np.searchsorted(at_mag, mag[i] - reach)
        last = np.searchsorted(at_mag, mag[i] + reach)
        slope = covariance[i] / var_mag[i]
        width = var_colour[i] - covariance[i] * slope  # of the colour at a given magnitude
        for k in range(first, last):
            off = mag[i] - at_mag[k]
            aside = colour[i] - at_colour[k] - slope * off
            far = aside * aside / width
            if far < REACH * REACH:
                density[i] += weight[k] * np.exp(-0.5 * (far + off * off / var_mag[i]))
        density[i] /= 2 * np.pi * np.sqrt(width * var_mag[i])
    return density


@njit(cache=True, nogil=True)
def _alone(mag, mag_err, at_mag, weight):
    """Sum Gaussians of the magnitude alone, shape (n_star,)."""
    density = np.zeros(len(mag))
    for i in range(len(mag)):
        first = np.searchsorted(at_mag, mag[i] - REACH * mag_err[i])
        last = np.searchsorted(at_mag, mag[i] + REACH * mag_err[i])
        for k in range(first, last):
            off = (mag[i] - at_mag[k]) / mag_err[i]
            density[i] += weight[k] * np.exp(-0.5 * off * off)
        density[i] /= np.sqrt(2 * np.pi) * mag_err[i]
    return density
