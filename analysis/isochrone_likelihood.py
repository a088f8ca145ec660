"""How likely stars of a colour-magnitude diagram are, given an isochrone, pairs and field stars.

The likelihood is that of each star's colour at its magnitude. What it has of the two errors and
their covariance is exact; how many stars there are at a magnitude plays no part, for that depends
on where the observer looked and how deep he saw.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .isochrone_cloud import PAIR_BLUR_COLOUR, PAIR_BLUR_MAG, Cloud, Points

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
    single = _sums(moved, model.single, (0.0, 0.0))
    pair = _sums(moved, model.pair, (PAIR_BLUR_COLOUR, PAIR_BLUR_MAG))
    share = mixture.binary_fraction
    both = (1 - share) * single[0] + share * pair[0]
    at_magnitude = (1 - share) * single[1] + share * pair[1]
    member = (1 - mixture.field_fraction) * both / (at_magnitude + NOBODY)
    field = mixture.field_fraction / stars.colour_range
    density = member + field
    return density, np.divide(member, density, out=np.zeros_like(density), where=density > 0)


def _sums(stars: Stars, points: Points, blur: tuple[float, float]) -> tuple[Array, Array]:
    return _kernel(
        (stars.colour, stars.mag),
        (
            stars.colour_err**2 + blur[0] ** 2,
            stars.mag_err**2 + blur[1] ** 2,
            stars.covariance,
        ),
        (points.colour, points.mag, points.weight),
    )


@njit(cache=True, nogil=True)
def _kernel(stars, variances, points):
    """Sum Gaussians at points sorted by magnitude: joint density, and of the magnitude alone."""
    colour, mag = stars
    var_colour, var_mag, covariance = variances
    at_colour, at_mag, weight = points
    joint, alone = np.zeros(len(colour)), np.zeros(len(colour))
    for i in range(len(colour)):
        reach = REACH * np.sqrt(var_mag[i])
        first = np.searchsorted(at_mag, mag[i] - reach)
        last = np.searchsorted(at_mag, mag[i] + reach)
        determinant = var_colour[i] * var_mag[i] - covariance[i] ** 2
        slope = covariance[i] / var_mag[i]
        width = var_colour[i] - covariance[i] * slope  # of the colour at a given magnitude
        in_joint, in_alone = 0.0, 0.0
        for k in range(first, last):
            off = mag[i] - at_mag[k]
            at = weight[k] * np.exp(-0.5 * off * off / var_mag[i])
            in_alone += at
            aside = colour[i] - at_colour[k] - slope * off
            if aside * aside < REACH * REACH * width:
                in_joint += at * np.exp(-0.5 * aside * aside / width)
        joint[i] = in_joint / (2 * np.pi * np.sqrt(determinant))
        alone[i] = in_alone / np.sqrt(2 * np.pi * var_mag[i])
    return joint, alone
